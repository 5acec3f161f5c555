"""Archives (zip, tar) as people have them: official ones, and folders that somebody packed again."""

from __future__ import annotations

import lzma
import tarfile
import zipfile
import zlib
from contextlib import contextmanager
from functools import lru_cache
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Any

from cellzoo.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FAULTS = (
    OSError,
    EOFError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
)
"""What reading a damaged file or archive raises."""
_TARS = (".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")
SUFFIXES = (".zip", *_TARS)


@contextmanager
def open_member(path: Path, member: str) -> Iterator[IO[bytes]]:
    """Open a file within an archive; raises one of `FAULTS` where it cannot be read."""
    if is_tar(path):
        with tarfile.open(path) as tar:
            stream = tar.extractfile(member)
            if stream is None:
                raise KeyError(f"{member} is not a file")
            with stream:
                yield stream
    else:
        with zipfile.ZipFile(path) as archive, archive.open(member) as packed:
            yield packed


def is_tar(path: Path) -> bool:
    """Whether a file is a tar archive, by its name."""
    return path.name.endswith(_TARS)


def find_member(path: Path, wanted: str) -> str | None:
    """Find a file within an archive, whatever folders stand above it there.

    Args:
        path: The archive.
        wanted: The end of the path within it, such as `RTE/train.tsv`.

    Returns:
        Its name within the archive, the shortest of several; None if there is none.

    Raises:
        DataError: It is not a whole archive.
    """
    state = path.stat()
    end = PurePosixPath(wanted).parts
    fitting = [
        name
        for name in _members(path, (state.st_size, state.st_mtime_ns))
        if PurePosixPath(name).parts[-len(end) :] == end
    ]
    return min(fitting, key=lambda name: (len(name), name), default=None)


def packed_again(folder: Path, wanted: str) -> Iterator[tuple[Path, str]]:
    """List the archives that a file may have been packed into with its folders, and its path in each.

    `a/b.txt` may lie in any zip archive of the folder, there with its folder `a`; in `a.zip` or `a.tar.gz`,
    there also without; and in any archive within `a`.
    """
    parts = PurePosixPath(wanted).parts
    for path in _archives(folder):
        named_alike = len(parts) > 1 and path.name in {f"{parts[0]}{suffix}" for suffix in SUFFIXES}
        if named_alike or not is_tar(path):
            yield path, wanted
        if named_alike:
            yield path, "/".join(parts[1:])
    if len(parts) > 1:
        for path in _archives(folder / parts[0]):
            yield path, "/".join(parts[1:])


def _archives(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.name.endswith(SUFFIXES) and path.is_file())


@lru_cache(maxsize=256)
def _members(path: Path, stamp: Any) -> tuple[str, ...]:
    try:
        if is_tar(path):
            with tarfile.open(path) as tar:
                return tuple(entry.name for entry in tar if entry.isfile())
        with zipfile.ZipFile(path) as archive:
            return tuple(archive.namelist())
    except FAULTS as error:
        kind = "tar" if is_tar(path) else "zip"
        raise DataError(f"{path}: is not a whole {kind} archive: {error}") from error

"""Reads untrusted files safely: a pipe would block, a device never ends, a file may exceed the memory."""

from __future__ import annotations

import errno
import json
import stat
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

MAX_STATE = 2**28
"""The largest state file that is read into memory, in bytes, such as the events of a long search."""
MAX_DEPTH = 64
"""How deeply JSON from a file may be nested; our own files have fewer than 10 levels."""


def read_regular(path: Path, largest: int = MAX_STATE) -> bytes:
    """Read a regular file of limited size.

    Raises:
        OSError: It cannot be read, is not a regular file, or has more than `largest` bytes; `strerror` says
            which.
    """
    require_regular(path, largest)
    with path.open("rb") as stream:
        content = stream.read(largest + 1)
    if len(content) > largest:  # the file has grown in the meantime
        raise OSError(errno.EFBIG, f"has more than {largest:,} bytes", str(path))
    return content


def require_regular(path: Path, largest: int | None = None) -> None:
    """Check that a path is a regular file of limited size, before it is opened.

    Raises:
        OSError: As in `read_regular`.
    """
    found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, "is a folder", str(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "is not a regular file", str(path))
    if largest is not None and found.st_size > largest:
        message = f"has {found.st_size:,} bytes; at most {largest:,} are read"
        raise OSError(errno.EFBIG, message, str(path))


def read_json(text: str | bytes, deepest: int = MAX_DEPTH) -> Any:
    """Parse JSON from an untrusted file.

    Raises:
        ValueError: It is not JSON, not UTF-8, has a number of thousands of digits, or is nested deeper than
            `deepest`.
    """
    try:
        content = json.loads(text)
    except RecursionError:
        raise ValueError(f"nested deeper than {deepest}") from None
    level = [content]
    for _ in range(deepest):
        level = [item for value in level for item in _below(value)]
        if not level:
            return content
    raise ValueError(f"nested deeper than {deepest}")


def _below(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []

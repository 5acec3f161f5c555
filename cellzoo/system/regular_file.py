"""Files from elsewhere: a pipe would hang, a device never ends, a file may be larger than the memory."""

from __future__ import annotations

import errno
import json
import stat
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

MAX_STATE = 2**28
"""Bytes of the largest file of state that is read whole, such as the events of a long search."""
MAX_DEPTH = 64
"""How deep JSON from a file may be nested; what is written here is less deep than 10."""


def read_regular(path: Path, largest: int = MAX_STATE) -> bytes:
    """Read a whole file, unless it is none that could be read whole.

    Raises:
        OSError: It cannot be read, is not a regular file, or has more than `largest` bytes; `strerror` says
            which.
    """
    require_regular(path, largest)
    with path.open("rb") as stream:
        content = stream.read(largest + 1)
    if len(content) > largest:  # it has grown since
        raise OSError(errno.EFBIG, f"has more than {largest:,} bytes", str(path))
    return content


def require_regular(path: Path, largest: int | None = None) -> None:
    """Check what a path leads to, before anything is opened.

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
    """Read JSON that someone may have changed.

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

"""Text files read whole, with one clear error for each way in which that can fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellzoo.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

BYTE_ORDER_MARK = "\ufeff"


def read_text(path: Path) -> str:
    r"""Read UTF-8 text as it is: line ends and a byte order mark are kept.

    Split the result on `"\n"` and never with `str.splitlines`, which also breaks at characters that
    occur inside tokens (U+0085, U+2028).

    Raises:
        DataError: The file cannot be opened, is no UTF-8, or holds nothing.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not content.strip():
        size = "0 bytes" if not content else "only white space"
        raise DataError(f"{path}: is empty ({size})")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found = " ".join(f"{byte:02X}" for byte in content[error.start : error.start + 4])
        raise DataError(
            f"{path}:{line}: is not UTF-8 text (bytes {found} at offset {error.start}); "
            "convert the file to UTF-8"
        ) from error

"""Paths given on the command line or in environment variables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cellzoo.errors import CellzooError

if TYPE_CHECKING:
    from collections.abc import Callable


def typed_path(text: str, what: str) -> Path:
    """Convert a path that a user typed; `~` and `~NAME` are home folders.

    Args:
        text: The path.
        what: The option or variable it was given for, such as `--out`, for messages.

    Raises:
        CellzooError: It is empty, or there is no such user.
    """
    if not text.strip():
        raise CellzooError(f"{what} {text!r}: is empty; expected a path, such as . for the current folder")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        user = text.split("/", 1)[0]
        raise CellzooError(
            f"{what} {text!r:.200}: {user!r:.80} is not the home folder of a known user; a file of that name "
            f"is './{text[:80]}'"
        ) from error


def path_option(what: str) -> Callable[[str], Path]:
    """Make the `type` of an argument that takes a path: `add_argument("--out", type=path_option("--out"))`."""

    def read(text: str) -> Path:
        return typed_path(text, what)

    read.__name__ = "path"
    return read

"""Write a file whole or not at all."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from uuid import uuid4

from cellzoo.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEMPORARY = re.compile(r"\.cellzoo-[0-9a-f]{32}\.tmp")
"""Names of files that a killed process may leave behind."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that readers find whole or not at all, also after a power cut.

    Raises:
        OutputError: No space, no permission, or not a folder; nothing is left behind.
    """
    temporary = path.with_name(f".cellzoo-{uuid4().hex}.tmp")
    with output_errors(path):
        try:
            with temporary.open("xb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def write_once(path: Path, content: bytes) -> None:
    """Write a file, with its folder, unless it is there: the first of several writers decides what it holds.

    Raises:
        OutputError: As `write_atomically`.
    """
    temporary = path.with_name(f".cellzoo-{uuid4().hex}.tmp")
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(content)
            with suppress(FileExistsError):
                os.link(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Turn what the system says about an output file or folder into one clear message.

    Raises:
        OutputError: An `OSError` came up inside.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written: {error.strerror or error}. Everything written before is kept. "
            "Make room, or name another place, and run the same command again."
        ) from error


def _sync_folder(folder: Path) -> None:
    """Make a rename last; systems that cannot open a folder do without."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

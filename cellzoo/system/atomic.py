"""Atomic writes: a file is written completely or not at all."""

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
    """Write a file atomically: readers see the old content or the new one, also after a power failure.

    Raises:
        OutputError: No space, no permission, or not a folder; the temporary file is removed.
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
    """Write a file, and create its folder, unless the file exists: the first of several writers wins.

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
    """Convert an `OSError` about an output file or folder to an `OutputError` with a clear message.

    Raises:
        OutputError: An `OSError` was raised inside the block.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written: {error.strerror or error}. Everything written before is kept. "
            "Make room, or name another place, and run the same command again."
        ) from error


def _sync_folder(folder: Path) -> None:
    """Make a rename durable, on systems that can open a folder."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

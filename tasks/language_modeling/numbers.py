"""Word numbers of a text, in memory or in a memory-mapped file."""

from __future__ import annotations

import tempfile
from array import array
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

import numpy as np
import torch

from cellzoo.system.atomic import output_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor


class Numbers(Protocol):
    """A growing sequence of numbers."""

    def add(self, numbers: Sequence[int]) -> None:
        """Append numbers."""
        ...

    def tensor(self) -> Tensor:
        """Return all numbers, (N,)."""
        ...


class _InMemory:
    def __init__(self) -> None:
        self._numbers = array("q")

    def add(self, numbers: Sequence[int]) -> None:
        self._numbers.extend(numbers)

    def tensor(self) -> Tensor:
        return torch.tensor(self._numbers, dtype=torch.long)


class _OnDisk:
    """Four bytes per word; the operating system loads and evicts pages as needed."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def add(self, numbers: Sequence[int]) -> None:
        self._file.write(array("i", numbers).tobytes())

    def tensor(self) -> Tensor:
        self._file.flush()
        return torch.from_numpy(np.memmap(self._file, dtype=np.int32, mode="r+"))


@contextmanager
def numbers_in_memory() -> Iterator[Numbers]:
    """Keep numbers as int64 in memory."""
    yield _InMemory()


@contextmanager
def numbers_on_disk(folder: Path | None) -> Iterator[Numbers]:
    """Keep numbers as int32 in an anonymous temporary file, which is removed when no tensor uses it any more.

    Args:
        folder: Folder of the file; None for the default of temporary files.

    Raises:
        OutputError: The file cannot be written.
    """
    place = folder or Path(tempfile.gettempdir())
    with output_errors(place):
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place) as file:
            yield _OnDisk(file)

"""The numbers of a text's words, in memory or in a file that is mapped into it."""

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
    """Numbers that come one stretch after the other."""

    def add(self, numbers: Sequence[int]) -> None:
        """Take some more."""
        ...

    def tensor(self) -> Tensor:
        """All of them, (N,)."""
        ...


class _InMemory:
    def __init__(self) -> None:
        self._numbers = array("q")

    def add(self, numbers: Sequence[int]) -> None:
        self._numbers.extend(numbers)

    def tensor(self) -> Tensor:
        return torch.tensor(self._numbers, dtype=torch.long)


class _OnDisk:
    """Four bytes a word; the system reads what is looked at, and lets go of it again."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def add(self, numbers: Sequence[int]) -> None:
        self._file.write(array("i", numbers).tobytes())

    def tensor(self) -> Tensor:
        self._file.flush()
        return torch.from_numpy(np.memmap(self._file, dtype=np.int32, mode="r+"))


@contextmanager
def numbers_in_memory() -> Iterator[Numbers]:
    """Numbers as int64 in memory."""
    yield _InMemory()


@contextmanager
def numbers_on_disk(folder: Path | None) -> Iterator[Numbers]:
    """Numbers as int32 in a file without a name, which is gone as soon as no tensor reads it.

    Args:
        folder: On whose disk; None for that of temporary files.

    Raises:
        OutputError: It cannot be written.
    """
    place = folder or Path(tempfile.gettempdir())
    with output_errors(place):
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place) as file:
            yield _OnDisk(file)

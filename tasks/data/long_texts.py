"""Texts that are read anew from their file whenever they are gone through, and never as a whole."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasks.data.parts import Part

LONG = 2**26
"""Bytes of a file, packed or not, from which its lines are not kept in memory."""


@dataclass(frozen=True)
class LongLines:
    """Lines of words of a stretch of a text file; stands for a list of them where nothing is asked at random.

    Attributes:
        part: The file.
        encoding: Of the file.
        start: The first line, from 0.
        stop: The line behind the last.
    """

    part: Part
    encoding: str
    start: int
    stop: int

    @classmethod
    def of(cls, part: Part, encoding: str) -> LongLines:
        """All lines of a file, which are counted."""
        return cls(part, encoding, 0, sum(1 for _ in part.each_line(encoding)))

    def __iter__(self) -> Iterator[list[str]]:
        for line in islice(self.part.each_line(self.encoding), self.start, self.stop):
            yield line.split()

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, stretch: slice) -> LongLines:
        start, stop, _ = stretch.indices(len(self))
        return replace(self, start=self.start + start, stop=self.start + max(start, stop))


def is_long(part: Part) -> bool:
    """Whether the lines of a file are not kept in memory."""
    return part.path.stat().st_size >= LONG

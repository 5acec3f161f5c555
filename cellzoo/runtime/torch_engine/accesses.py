"""Reads and writes of operands by the steps of a kernel."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cellzoo.runtime.torch_engine.operands import Operand
    from cellzoo.runtime.torch_engine.steps import Step


class Accesses:
    """Positions of the steps that read and write each operand.

    Args:
        steps: In order.
    """

    def __init__(self, steps: Iterable[Step]) -> None:
        self._reads: dict[Operand, list[int]] = {}
        self._writes: dict[Operand, list[int]] = {}
        for position, step in enumerate(steps):
            for arg in dict.fromkeys(step.args):
                self._reads.setdefault(arg, []).append(position)
            if step.target is not None:
                self._writes.setdefault(step.target, []).append(position)

    def first_read(self, operand: Operand) -> int | None:
        """Position of the first step that reads an operand; None if none does."""
        reads = self._reads.get(operand)
        return reads[0] if reads else None

    def last_read(self, operand: Operand) -> int:
        """Position of the last step that reads an operand; -1 if none does."""
        reads = self._reads.get(operand)
        return reads[-1] if reads else -1

    def first_write(self, operand: Operand) -> int:
        """Position of the first step that writes an operand that some step writes."""
        return self._writes[operand][0]

    def is_read(self, operand: Operand, start: int, end: int) -> bool:
        """Whether one of the steps start, ..., end - 1 reads an operand."""
        return _has_between(self._reads.get(operand, ()), start, end)

    def is_written(self, operand: Operand, start: int, end: int) -> bool:
        """Whether one of the steps start, ..., end - 1 writes an operand."""
        return _has_between(self._writes.get(operand, ()), start, end)

    def drop_copy(self, position: int, source: Operand, place: Operand) -> None:
        """Update the accesses after a copy was removed: the source is replaced by the place everywhere.

        Args:
            position: Position of the copy.
            source: The operand it read, which is written by one step.
            place: The operand it wrote.
        """
        writes = self._writes[place]
        writes.remove(position)
        insort(writes, self._writes.pop(source)[0])
        reads = self._reads.setdefault(place, [])
        for other in self._reads.pop(source):
            if other != position:
                insort(reads, other)


def _has_between(positions: Sequence[int], start: int, end: int) -> bool:
    first = bisect_left(positions, start)
    return first < len(positions) and positions[first] < end

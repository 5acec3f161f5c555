"""Packed rows, and the order in which a walk goes through their steps."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

from cellzoo.system.lazy import lazy_property


@dataclass(frozen=True)
class Rows:
    """Rows packed as in `PackedSequence`; step t has rows starts[t], ..., starts[t + 1] - 1.

    Attributes:
        batch_sizes: Rows at each step, never growing.
    """

    batch_sizes: tuple[int, ...]

    @lazy_property
    def starts(self) -> tuple[int, ...]:
        """First row of each step, and the number of rows at the end."""
        return tuple(accumulate(self.batch_sizes, initial=0))

    @property
    def batch(self) -> int:
        """B, the number of sequences."""
        return self.batch_sizes[0]

    @property
    def total(self) -> int:
        """N."""
        return self.starts[-1]


@dataclass(frozen=True)
class Order:
    """A walk through all steps, from the first to the last or from the last to the first.

    Attributes:
        rows: The rows.
        descending: Whether it starts with the last step.
    """

    rows: Rows
    descending: bool

    @lazy_property
    def steps(self) -> tuple[int, ...]:
        """The steps in order."""
        count = len(self.rows.batch_sizes)
        return tuple(range(count - 1, -1, -1) if self.descending else range(count))

    @lazy_property
    def counts(self) -> tuple[int, ...]:
        """Rows of each step, in order."""
        return self.rows.batch_sizes[::-1] if self.descending else self.rows.batch_sizes

    @property
    def opposite(self) -> Order:
        """The walk back."""
        return Order(self.rows, not self.descending)

    @lazy_property
    def arrivals(self) -> list[tuple[int, int, int]]:
        """(position, first, end): sequences first, ..., end - 1 begin with the walk's step at `position`."""
        return self._ends() if self.descending else [(0, 0, self.rows.batch)]

    @lazy_property
    def departures(self) -> list[tuple[int, int, int]]:
        """(position, first, end): sequences first, ..., end - 1 end with the walk's step at `position`."""
        return [(len(self.steps) - 1, 0, self.rows.batch)] if self.descending else self._ends()

    def _ends(self) -> list[tuple[int, int, int]]:
        """Where sequences have their last step, which comes first in a descending walk."""
        sizes = (*self.rows.batch_sizes, 0)
        return [
            (position, sizes[step + 1], sizes[step])
            for position, step in enumerate(self.steps)
            if sizes[step] > sizes[step + 1]
        ]

"""The structure of packed rows, and the order in which their steps are processed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

from cellzoo.system.lazy import lazy_property


@dataclass(frozen=True)
class Rows:
    """Rows packed as in `PackedSequence`; step t has rows starts[t], ..., starts[t + 1] - 1.

    Attributes:
        batch_sizes: Rows of each step, non-increasing.
    """

    batch_sizes: tuple[int, ...]

    @lazy_property
    def starts(self) -> tuple[int, ...]:
        """First row of each step, followed by N."""
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
    """The order of the steps, ascending or descending.

    Attributes:
        rows: The rows.
        descending: Whether the last step is first.
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
        """The opposite order, as of the backward pass."""
        return Order(self.rows, not self.descending)

    @lazy_property
    def arrivals(self) -> list[tuple[int, int, int]]:
        """(position, first, end): sequences first, ..., end - 1 begin at the step of this position."""
        return self._ends() if self.descending else [(0, 0, self.rows.batch)]

    @lazy_property
    def departures(self) -> list[tuple[int, int, int]]:
        """(position, first, end): sequences first, ..., end - 1 end at the step of this position."""
        return [(len(self.steps) - 1, 0, self.rows.batch)] if self.descending else self._ends()

    def _ends(self) -> list[tuple[int, int, int]]:
        """Positions of the last steps of sequences, which are processed first in descending order."""
        sizes = (*self.rows.batch_sizes, 0)
        return [
            (position, sizes[step + 1], sizes[step])
            for position, step in enumerate(self.steps)
            if sizes[step] > sizes[step + 1]
        ]

"""Statistics of times that were taken in turns.

Two candidates that run one after the other in the same round meet the same state of the machine, so the
ratio of their times in one round is far steadier than either time. The median of these ratios is the figure,
their quartiles are its spread.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median, quantiles
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Quartiles:
    """A median with its quartiles."""

    median: float
    low: float
    high: float

    def scaled(self, factor: float) -> Quartiles:
        """The same of values that are `factor` times as large; `factor` is positive."""
        return Quartiles(self.median * factor, self.low * factor, self.high * factor)


def spread(values: Sequence[float]) -> Quartiles:
    """Median and quartiles of at least one value; quartiles lie between values, as numpy's do."""
    if len(values) == 1:
        return Quartiles(values[0], values[0], values[0])
    low, _, high = quantiles(values, n=4, method="inclusive")
    return Quartiles(median(values), low, high)


def paired_ratios(times: Sequence[float], base: Sequence[float]) -> Quartiles:
    """Median and quartiles of the ratios round by round.

    Args:
        times: Seconds of one candidate, one number a round.
        base: Seconds of the other in the same rounds.

    Raises:
        ValueError: The numbers of rounds differ, there is none, or a time of `base` is 0.
    """
    if len(times) != len(base) or not times:
        raise ValueError(f"{len(times)} and {len(base)} rounds cannot be paired")
    if not all(base):
        raise ValueError("a time is 0, so the clock is too coarse for what was timed")
    return spread([one / other for one, other in zip(times, base, strict=True)])

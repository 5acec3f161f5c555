"""The value axis of a picture: its range and its round ticks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from leaderboards.stats import Summary

WHISKER_ROOM = 0.3
MARGIN = 0.06


@dataclass(frozen=True)
class Axis:
    """A linear axis from `low` to `high` with labelled ticks."""

    low: float
    high: float
    ticks: tuple[float, ...]
    digits: int

    def share(self, value: float) -> float:
        """Where `value` lies: 0 at `low`, 1 at `high`, clipped to the axis."""
        return min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)


def axis_for(summaries: Sequence[Summary], *, ticks: int = 8) -> Axis:
    """An axis that shows every value, and intervals as far as they leave the values readable.

    With two seeds an interval is so wide that it would squeeze all values into one spot. So it may extend
    the axis by `WHISKER_ROOM` of the values' range to each side and is cut there.
    """
    values = [value for summary in summaries for value in summary.values]
    low, high = min(values), max(values)
    span = high - low
    if not span > abs(high) * 1e-9:
        span = abs(high) * 0.1 or 1.0
    ends = [end for summary in summaries for end in summary.interval or () if math.isfinite(end)]
    low = max(min([low, *ends]), low - WHISKER_ROOM * span) - MARGIN * span
    high = min(max([high, *ends]), high + WHISKER_ROOM * span) + MARGIN * span
    if not math.isfinite(high - low):
        low, high = -8e307, 8e307
    step = _round_step((high - low) / ticks)
    first, last = math.ceil(low / step), math.floor(high / step)
    return Axis(low, high, tuple(number * step for number in range(first, last + 1)), max(0, -_exponent(step)))


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 5, 10 times a power of ten that is at least `least`."""
    power = 10.0 ** _exponent(least)
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def _exponent(value: float) -> int:
    return math.floor(math.log10(value) + 1e-9)

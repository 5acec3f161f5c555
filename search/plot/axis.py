"""Where ticks go."""

from __future__ import annotations

import math
from dataclasses import dataclass

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_WANTED = 4
_WIDE = 3.0


@dataclass(frozen=True)
class Axis:
    """A range of numbers with ticks.

    Attributes:
        low: Lower end.
        high: Upper end, above `low`.
        ticks: Within the range, rising.
        logarithmic: Whether equal ratios are equally far apart.
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """How far up a value is: 0 at `low`, 1 at `high`."""
        low, high, at = (
            (math.log(self.low), math.log(self.high), math.log(value))
            if self.logarithmic
            else (self.low, self.high, value)
        )
        return (at - low) / (high - low)


def axis_for(values: list[float], *, logarithmic: bool) -> Axis:
    """Choose an axis.

    Args:
        values: At least one, finite.
        logarithmic: Whether to show ratios, if all values are above 0 and the largest is 3 times the smallest
            or more.
    """
    low, high = min(values), max(values)
    if logarithmic and low > 0 and high / low >= _WIDE:
        return _logarithmic(low, high)
    if high - low < 1e-9 * max(abs(high), 1.0):
        low, high = low - max(abs(low), 1.0) / 20, high + max(abs(high), 1.0) / 20
    step = _step((high - low) / _WANTED)
    first, last = math.floor(low / step), math.ceil(high / step)
    ticks = tuple(round(number * step, 12) for number in range(first, last + 1))
    return Axis(ticks[0], ticks[-1], ticks)


def _logarithmic(low: float, high: float) -> Axis:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    digits = (1.0, 2.0, 5.0) if high / low < 100 else (1.0,)
    ticks = [digit * 10.0**power for power in range(first, last + 1) for digit in digits]
    inside = tuple(tick for tick in ticks if low <= tick <= high)
    return Axis(low / 1.05, high * 1.05, inside, logarithmic=True)


def _step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in _STEPS if step * power >= rough * 0.999)

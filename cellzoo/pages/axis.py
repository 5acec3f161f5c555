"""Axes of charts: ranges and the positions of ticks."""

from __future__ import annotations

import math
from dataclasses import dataclass

# The least ratio of the ends for which a logarithmic axis is used.
_WIDE = 3.0
# Half of the largest float: the difference of two ends must be finite.
_FAR = 8e307
# About its square root: so must the ratio of two ends of a logarithmic axis.
_STEEP = 1e150


@dataclass(frozen=True)
class Axis:
    """A range of numbers with ticks.

    Attributes:
        low: Lower end.
        high: Upper end, above `low`.
        ticks: Within the range, rising.
        digits: Decimals that tell the ticks of a linear axis apart.
        logarithmic: Whether equal ratios are equally far apart.
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    digits: int = 0
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """The position of a value, 0 at `low` and 1 at `high`; values outside, also infinite, are clamped."""
        inside = min(max(value, self.low), self.high)
        if self.logarithmic:
            return math.log(inside / self.low) / math.log(self.high / self.low)
        return (inside - self.low) / (self.high - self.low)

    def label(self, tick: float) -> str:
        """How a tick is written."""
        if self.logarithmic or self.digits > 6 or abs(tick) >= 1e6:
            return f"{tick:.4g}"
        return f"{tick:.{self.digits}f}"


def linear_axis(low: float, high: float, *, ticks: int = 5, to_ticks: bool = True) -> Axis:
    """An axis with ticks at 1, 2 or 5 times a power of ten.

    Args:
        low: Least value shown.
        high: Greatest value shown; equal ends are moved apart.
        ticks: How many are wanted, about.
        to_ticks: Whether the axis begins and ends at a tick; otherwise at `low` and `high`.
    """
    low, high = (min(max(end, -_FAR), _FAR) for end in (low, high))
    if high - low < 1e-9 * max(abs(high), abs(low), 1e-300):
        room = max(abs(low), abs(high), 1.0) / 20
        low, high = low - room, high + room
    exponent, step = _step((high - low) / ticks)
    inwards = (math.floor, math.ceil) if to_ticks else (math.ceil, math.floor)
    first, last = inwards[0](low / step), inwards[1](high / step)
    places = tuple(round(number * step, max(0, 2 - exponent)) for number in range(first, last + 1))
    if to_ticks:
        low, high = places[0], places[-1]
    return Axis(low, high, places, max(0, -exponent))


def logarithmic_axis(low: float, high: float, *, ticks: int = 5) -> Axis:
    """An axis of ratios; a linear one where not all values are above 0 or they lie close together."""
    if not (low > 0 and high / low >= _WIDE):
        return linear_axis(low, high, ticks=ticks)
    low, high = max(low, 1 / _STEEP), min(high, _STEEP)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    factors = (1.0, 2.0, 5.0) if high / low < 100 else (1.0,)
    places = [factor * 10.0**power for power in range(first, last + 1) for factor in factors]
    inside = tuple(place for place in places if low <= place <= high)
    return Axis(low / 1.05, high * 1.05, inside, logarithmic=True)


def _step(least: float) -> tuple[int, float]:
    """The smallest of 1, 2, 5, 10 times a power of ten that is at least `least`, and its exponent of ten."""
    exponent = math.floor(math.log10(least))
    factor = next(factor for factor in (1, 2, 5, 10) if factor * 10.0**exponent >= least * (1 - 1e-9))
    return exponent + (factor == 10), factor * 10.0**exponent

"""Formats numbers for boards."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leaderboards.stats.families import Comparison
    from leaderboards.stats.seeds import Scale, Summary

MISSING = "—"
LARGEST_PLAIN = 1e7


def metric(value: float, digits: int) -> str:
    """A value with the digits of its metric; very large values in scientific notation."""
    if abs(value) >= LARGEST_PLAIN:
        return f"{value:.3g}"
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def mean_and_std(summary: Summary, digits: int) -> str:
    """`41.20 ± 0.31`; the mean alone for one seed."""
    mean = metric(summary.mean, digits)
    return mean if summary.std is None else f"{mean} ± {metric(summary.std, digits)}"


def interval(ends: tuple[float, float] | None, digits: int) -> str:
    """`40.10 to 42.30`, or missing."""
    if ends is None:
        return MISSING
    low, high = ends
    return f"{metric(low, digits)} to {metric(high, digits)}"


def difference(comparison: Comparison, scale: Scale, digits: int) -> str:
    """`+1.20 (0.30 to 2.10)`; on the logarithmic scale in per cent."""
    ends = (comparison.difference, comparison.low, comparison.high)
    if scale == "log":
        middle, low, high = (signed(100 * math.expm1(min(end, 50.0)), 1) for end in ends)
        return f"{middle} % ({low} to {high})"
    middle, low, high = (signed(end, digits) for end in ends)
    return f"{middle} ({low} to {high})"


def size(difference: float, scale: Scale, digits: int) -> str:
    """The size of a difference: `1.20`, or `3.1 %` on the logarithmic scale."""
    return (
        metric(difference, digits) if scale == "plain" else f"{100 * math.expm1(min(difference, 50.0)):.1f} %"
    )


def signed(value: float, digits: int) -> str:
    """A value with its sign, with a true minus sign; 0 has none."""
    text = metric(value, digits)
    if text.startswith("-"):
        return f"\N{MINUS SIGN}{text[1:]}"
    return f"+{text}" if float(text) else text


def seeds(n: int) -> str:
    """`1 seed`, `2 seeds`."""
    return f"{n} seed" if n == 1 else f"{n} seeds"


def count(value: float | None) -> str:
    """A whole number with thousands separators."""
    return MISSING if value is None else f"{round(value):,}"


def milliseconds(value: float | None) -> str:
    """`1.24 ms`."""
    return MISSING if value is None else f"{value:.3g} ms"


def duration(value: float | None) -> str:
    """Seconds as `8.1 s`, `3 min 20 s` or `2 h 05 min`."""
    if value is None:
        return MISSING
    if value < 99.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 100:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(round(value / 60), 60)
    return f"{hours:,} h {minutes:02d} min"

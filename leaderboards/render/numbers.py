"""How numbers are written on every board."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leaderboards.stats import Summary

MISSING = "—"
LARGEST_PLAIN = 1e7


def metric(value: float, digits: int) -> str:
    """A metric's value with its digits; very large ones in scientific form."""
    if abs(value) >= LARGEST_PLAIN:
        return f"{value:.3g}"
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def mean_and_std(summary: Summary, digits: int) -> str:
    """`41.20 ± 0.31`; the mean alone for one seed."""
    mean = metric(summary.mean, digits)
    return mean if summary.std is None else f"{mean} ± {metric(summary.std, digits)}"


def interval(summary: Summary, digits: int) -> str:
    """`40.10 to 42.30`, or missing for one seed."""
    if summary.interval is None:
        return MISSING
    low, high = summary.interval
    return f"{metric(low, digits)} to {metric(high, digits)}"


def seeds(n: int) -> str:
    """`1 seed`, `2 seeds`."""
    return f"{n} seed" if n == 1 else f"{n} seeds"


def count(value: float | None) -> str:
    """A whole number with thousands separators."""
    return MISSING if value is None else f"{round(value):,}"


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


def shortened(text: str, limit: int = 60) -> str:
    """`text`, cut with an ellipsis if it is longer than `limit`."""
    return text if len(text) <= limit else text[: limit - 1] + "…"

"""What a number is called, and which direction is better."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """One number of an evaluation.

    Attributes:
        name: Key in records, such as `f1`.
        title: What a reader sees, with the unit and without the split, such as `span F1 (%)`.
        higher_is_better: The direction that leaderboards rank by.
        digits: Digits after the point that a table shows.
    """

    name: str
    title: str
    higher_is_better: bool
    digits: int = 2

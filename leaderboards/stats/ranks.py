"""Ranges of ranks that are compatible with the simultaneous intervals of all differences.

The first rank of an entry is one more than the number of entries that are significantly better; its last rank
is the number of entries minus those that are significantly worse. The ranges of all entries hold simultaneously
at 95 % (Mohamad, Goeman and van Zwet 2022, with Tukey's intervals). Entries with the same range are tied.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from leaderboards.stats.families import pairs, samples
from leaderboards.stats.seeds import FEWEST_SEEDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from leaderboards.stats.families import Comparison


@dataclass(frozen=True, order=True)
class RankRange:
    """The best and the worst possible rank; equal if the rank is certain."""

    first: int
    last: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}–{self.last}"


def rank_ranges(values: Sequence[Sequence[float]], *, higher_is_better: bool) -> list[RankRange | None]:
    """Rank entries by their runs on the scale of comparison; None for entries with too few seeds."""
    ranked = [place for place, of_entry in enumerate(values) if len(of_entry) >= FEWEST_SEEDS]
    ranges: list[RankRange | None] = [None] * len(values)
    if ranked:
        compared = pairs(samples([values[place] for place in ranked]))
        for place, found in zip(
            ranked, ranges_from(compared, len(ranked), higher_is_better=higher_is_better), strict=True
        ):
            ranges[place] = found
    return ranges


def ranges_from(
    compared: Mapping[tuple[int, int], Comparison], entries: int, *, higher_is_better: bool
) -> list[RankRange]:
    """Turn the comparisons of all pairs into ranges of ranks."""
    better, worse = [0] * entries, [0] * entries
    for (i, j), comparison in compared.items():
        if comparison.apart:
            winner, loser = (i, j) if (comparison.difference > 0) == higher_is_better else (j, i)
            better[loser] += 1
            worse[winner] += 1
    return [RankRange(better[entry] + 1, entries - worse[entry]) for entry in range(entries)]

"""Compares the entries of one table by its primary metric: intervals, ranks, differences from the control."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from leaderboards.evidence import Evidence, gather
from leaderboards.stats.families import Samples, against, against_on_new_items, pairs, samples, spread_of
from leaderboards.stats.ranks import ranges_from
from leaderboards.stats.seeds import FEWEST_SEEDS, from_scale, scale_of, summarize, to_scale
from leaderboards.stats.winner import shrink_best, smallest_detectable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from leaderboards.collect import Collection
    from leaderboards.stats.families import Comparison
    from leaderboards.stats.ranks import RankRange
    from leaderboards.stats.seeds import Scale, Summary
    from tasks.runs.record import RunRecord

CONTROL = "lstm"
"""Name of the control, the cell with which all others are compared."""
LARGEST_COMPARED = 1e100
"""Diverged runs beyond this are compared as if they had this value, whose square does not overflow."""


@dataclass(frozen=True)
class Entry:
    """The results of one subject; for its fields see `leaderboards.board.Row`."""

    summary: Summary
    rank: RankRange | None
    against: Comparison | None
    against_new: Comparison | None
    by_item: tuple[float, ...]


@dataclass(frozen=True)
class TableStanding:
    """The comparisons of a table.

    Attributes:
        entries: Identity -> entry.
        scale: Scale on which results are compared; a difference of logarithms is a ratio.
        control: Identity of the control; None if it has no rank in this table.
        detectable: The smallest detectable difference; None if nothing is compared.
        pooled: Whether the variance over seeds is pooled over all entries.
        best: Identity of the entry with the best mean; None with fewer than two ranked entries.
        expected: Expected mean of the best entry with new seeds.
        ranked: Number of ranked entries.
        without_spread: Identities whose seeds (at least two) all gave the same value.
        tukey: Critical value for all pairs, in standard errors.
        errors: Identity -> variance of the mean, for ranked entries.
    """

    entries: Mapping[str, Entry]
    scale: Scale
    control: str | None
    detectable: float | None
    pooled: bool
    best: str | None
    expected: float | None
    ranked: int
    without_spread: tuple[str, ...]
    tukey: float | None
    errors: Mapping[str, float]


def compute_standing(
    collection: Collection,
    members: Mapping[str, Sequence[RunRecord]],
    metric: str,
    *,
    higher_is_better: bool,
) -> TableStanding:
    """Compare the subjects of a table.

    Args:
        collection: The collection, for the per-item files.
        members: Identity -> its records, in the order of the seeds.
        metric: The primary metric; runs without a value of it are ignored.
        higher_is_better: Its direction.
    """
    members = {identity: [r for r in records if r.score is not None] for identity, records in members.items()}
    members = {identity: records for identity, records in members.items() if records}
    values = {identity: [record.value(metric) for record in records] for identity, records in members.items()}
    scale: Scale = scale_of(metric)
    if scale == "log" and any(min(of_entry) <= 0 for of_entry in values.values()):
        scale = "plain"
    evidence = {
        identity: gather(collection, records, metric) if scale == scale_of(metric) else None
        for identity, records in members.items()
    }
    summaries = {
        identity: summarize(of_entry, scale, _matrix(evidence[identity]))
        for identity, of_entry in values.items()
    }
    ranked = [identity for identity, of_entry in values.items() if len(of_entry) >= FEWEST_SEEDS]
    control = next((i for i in ranked if CONTROL in {r.cell.name for r in members[i] if r.cell.hash}), None)
    ranks: dict[str, RankRange] = {}
    here: dict[str, Comparison] = {}
    new: dict[str, Comparison] = {}
    errors: dict[str, float] = {}
    detectable = best = expected = tukey = None
    pooled = True
    if ranked:
        runs = samples(
            [
                np.clip([to_scale(v, scale) for v in values[i]], -LARGEST_COMPARED, LARGEST_COMPARED)
                for i in ranked
            ]
        )
        spread = spread_of(runs)
        pooled = spread.pooled
        compared = pairs(runs, spread)
        ranks = dict(
            zip(ranked, ranges_from(compared, len(ranked), higher_is_better=higher_is_better), strict=True)
        )
        errors = {
            identity: variance / size
            for identity, variance, size in zip(ranked, spread.variances, runs.sizes.tolist(), strict=True)
        }
        tukey = _critical(compared)
        if control is not None:
            place = ranked.index(control)
            here = {ranked[i]: c for i, c in against(runs, place, spread).items()}
            new = _against_new([evidence[identity] for identity in ranked], ranked, place)
        if len(ranked) > 1:
            detectable = smallest_detectable(runs, one_against_all=control is not None)
            best, expected = _best(runs, ranked, scale, higher_is_better=higher_is_better)
    return TableStanding(
        entries={
            identity: Entry(
                summaries[identity],
                ranks.get(identity),
                here.get(identity),
                new.get(identity),
                _by_item(evidence[identity]),
            )
            for identity in members
        },
        scale=scale,
        control=control,
        detectable=detectable,
        pooled=pooled,
        best=best,
        expected=expected,
        ranked=len(ranked),
        without_spread=tuple(i for i in members if len(values[i]) > 1 and len(set(values[i])) == 1),
        tukey=tukey,
        errors=errors,
    )


def _matrix(evidence: Evidence | None):  # type: ignore[no-untyped-def]
    return None if evidence is None else evidence.contributions


def _by_item(evidence: Evidence | None) -> tuple[float, ...]:
    return () if evidence is None else tuple(evidence.contributions.mean(0).tolist())


def _critical(compared: Mapping[tuple[int, int], Comparison]) -> float | None:
    """The largest critical value of the comparisons; they are all equal if the variance is pooled."""
    found = [
        (c.high - c.low) / 2 * c.statistic / abs(c.difference)
        for c in compared.values()
        if c.difference and c.high > c.low
    ]
    return max(found) if found else None


def _against_new(
    evidence: Sequence[Evidence | None], ranked: Sequence[str], control: int
) -> dict[str, Comparison]:
    there = [e for e in evidence if e is not None]
    if len(there) < len(evidence) or len(there) < 2 or len({e.identity for e in there}) > 1:
        return {}
    if there[0].contributions.shape[1] < 2:
        return {}
    compared = against_on_new_items([e.contributions for e in there], control)
    return {ranked[place]: comparison for place, comparison in compared.items()}


def _best(runs: Samples, ranked: Sequence[str], scale: Scale, *, higher_is_better: bool) -> tuple[str, float]:
    shrunk = shrink_best(runs, higher_is_better=higher_is_better)
    return ranked[shrunk.best], from_scale(shrunk.expected, scale)

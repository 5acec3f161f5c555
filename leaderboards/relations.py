"""Rank correlations between tasks: are cells that are good on one task also good on another?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from leaderboards.stats.correlation import RankCorrelation, rank_correlation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from leaderboards.board import BoardSubject, TaskTable


@dataclass(frozen=True)
class Relation:
    """The correlation of two tables over the cells that are in both.

    Attributes:
        first: One table.
        second: The other.
        subjects: The cells that are in both, in the order of the first table.
        xs: (cells,) their means on the first table's primary metric.
        ys: (cells,) their means on the second's.
        correlation: Rank correlation; positive if cells that are better on one task are better on the other.
    """

    first: TaskTable
    second: TaskTable
    subjects: tuple[BoardSubject, ...]
    xs: tuple[float, ...]
    ys: tuple[float, ...]
    correlation: RankCorrelation


def relations(tables: Sequence[TaskTable]) -> list[Relation]:
    """Correlations of all pairs of tables of different tasks with enough common cells; no superseded tables."""
    current = [table for table in tables if table.superseded_by is None]
    found = (
        _relation(first, second) for first, second in combinations(current, 2) if first.task != second.task
    )
    return [relation for relation in found if relation is not None]


def _relation(first: TaskTable, second: TaskTable) -> Relation | None:
    ours, theirs = _means(first), _means(second)
    subjects = tuple(subject for subject in ours if subject in theirs)
    xs = tuple(ours[subject] for subject in subjects)
    ys = tuple(theirs[subject] for subject in subjects)
    signs = [1 if table.primary.higher_is_better else -1 for table in (first, second)]
    correlation = rank_correlation([signs[0] * x for x in xs], [signs[1] * y for y in ys])
    return None if correlation is None else Relation(first, second, subjects, xs, ys, correlation)


def _means(table: TaskTable) -> dict[BoardSubject, float]:
    name = table.primary.name
    return {
        row.subject: row.metrics[name].mean
        for row in table.rows
        if name in row.metrics and not row.subject.is_baseline
    }

"""Average ranks over many tasks and the critical difference of Nemenyi's test.

Friedman's test asks whether k cells differ at all over N tasks, where each task ranks the cells (ties share
their mean rank). Two cells differ significantly if their average ranks differ by more than the critical
difference q sqrt(k (k + 1) / (6 N)), where q is the quantile of the studentised range divided by sqrt 2 (Demšar
2006, Statistical comparisons of classifiers over multiple data sets, 3.2.2). The sample size is the number of
tasks, so the diagram is drawn for at least ten.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from leaderboards.stats.seeds import LEVEL

if TYPE_CHECKING:
    from collections.abc import Sequence

FEWEST_TASKS = 10


@dataclass(frozen=True)
class CriticalDifference:
    """The data of a critical difference diagram.

    Attributes:
        ranks: (cells,) average ranks; 1 is the best.
        difference: The critical difference of average ranks.
        p: p value of Friedman's test that all cells are equal.
        tasks: Number of tasks.
    """

    ranks: tuple[float, ...]
    difference: float
    p: float
    tasks: int


def critical_difference(scores: Sequence[Sequence[float]]) -> CriticalDifference | None:
    """Average ranks and their critical difference.

    Args:
        scores: (tasks, cells); higher is better.

    Returns:
        None with fewer than `FEWEST_TASKS` tasks or three cells.
    """
    import numpy as np
    from scipy.stats import friedmanchisquare, rankdata, studentized_range

    table = np.asarray(scores, dtype=float)
    if table.ndim != 2 or table.shape[0] < FEWEST_TASKS or table.shape[1] < 3:
        return None
    tasks, cells = table.shape
    ranks = rankdata(-table, axis=1).mean(axis=0)
    quantile = float(studentized_range.ppf(1 - LEVEL, cells, np.inf)) / math.sqrt(2)
    alike = bool((table == table[:, :1]).all())
    return CriticalDifference(
        tuple(map(float, ranks)),
        quantile * math.sqrt(cells * (cells + 1) / (6 * tasks)),
        1.0 if alike else float(friedmanchisquare(*table.T).pvalue),
        tasks,
    )

"""Average ranks over many tasks and the difference that Nemenyi's test calls critical.

Friedman's test asks whether k cells differ at all over N tasks, each task giving one rank to each cell (ties
share their mean); two cells are then apart if their average ranks differ by the critical difference
q sqrt(k (k + 1) / (6 N)), q being the studentised range over sqrt 2 (Demšar 2006, Statistical comparisons of
classifiers over multiple data sets, 3.2.2). Tasks are the sample: ten are the fewest for which it is drawn.
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
    """What a diagram shows.

    Attributes:
        ranks: (cells,) average ranks; 1 is the best.
        difference: Average ranks that differ by more are apart.
        p: Of Friedman's test that all cells are alike.
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

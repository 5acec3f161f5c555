"""Shrinkage of the best of several means, and the smallest detectable difference."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from leaderboards.stats.families import dunnett_quantile, spread_of, tukey_quantile

if TYPE_CHECKING:
    from leaderboards.stats.families import Samples

POWER = 0.8


@dataclass(frozen=True)
class Shrunk:
    """The best mean, and the expected mean of the same entry with new seeds.

    Attributes:
        best: Index of the entry with the best mean.
        mean: Its mean as measured, which is too good on average (the winner's curse).
        expected: Its mean shrunk towards the mean of all entries.
    """

    best: int
    mean: float
    expected: float


def shrink_best(runs: Samples, *, higher_is_better: bool) -> Shrunk:
    """Shrink the best of k means towards their common mean.

    The best linear unbiased prediction in the one-way random model with its variances by the method of moments
    (Searle, Casella and McCulloch 1992, 3.4 and 7.4): the distance to the common mean is multiplied by
    τ² / (τ² + σ² / n), where τ² is the variance between cells and σ² that between seeds.
    """
    means, sizes = runs.means, runs.sizes
    best = int(np.argmax(means) if higher_is_better else np.argmin(means))
    k, total = len(means), sizes.sum()
    if k < 2:
        return Shrunk(best, float(means[0]), float(means[0]))
    centre = float((sizes * means).sum() / total)
    within = sum(((values - values.mean()) ** 2).sum() for values in runs.values) / (total - k)
    between = float((sizes * (means - centre) ** 2).sum() / (k - 1))
    typical = (total - (sizes**2).sum() / total) / (k - 1)
    cells = max(0.0, (between - within) / typical)
    noise = within / sizes[best]
    share = cells / (cells + noise) if cells + noise > 0 else 1.0
    return Shrunk(best, float(means[best]), centre + share * (float(means[best]) - centre))


def smallest_detectable(runs: Samples, *, one_against_all: bool) -> float | None:
    """The difference of two cells that would be significant in 4 of 5 repetitions of this board.

    It solves P(|T| > c) = .8 for the noncentral t with the family's critical value c (Dunnett's or Tukey's),
    at the mean variance and the harmonic mean number of seeds. None for one cell or without any spread.
    """
    from scipy.optimize import brentq
    from scipy.special import nctdtr

    k = len(runs.means)
    spread = spread_of(runs)
    variance = float(np.mean(spread.variances))
    if k < 2 or variance == 0:
        return None
    freedom = float(spread.freedoms[0]) if spread.pooled else float(np.sum(spread.freedoms)) / k * 2
    critical = dunnett_quantile((0.5,) * (k - 1), freedom) if one_against_all else tukey_quantile(k, freedom)

    def missing(shift: float) -> float:
        return float(1 - nctdtr(freedom, shift, critical)) - POWER

    high = critical + 1.0
    while missing(high) < 0:
        high *= 1.5
        if high > 1e4:
            return None
    seeds = k / float((1 / runs.sizes).sum())
    return float(brentq(missing, 0.0, high)) * math.sqrt(2 * variance / seeds)

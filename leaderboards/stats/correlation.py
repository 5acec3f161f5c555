"""Kendall's rank correlation with its interval, for the order of cells on two tasks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

from leaderboards.stats.seeds import LEVEL

if TYPE_CHECKING:
    from collections.abc import Sequence

FEWEST_CELLS = 5
"""The variance used below needs at least five pairs."""


@dataclass(frozen=True)
class RankCorrelation:
    """Kendall's tau-b.

    Attributes:
        tau: From -1 (opposite orders) to 1 (the same order).
        low: Lower end of its 95 % interval.
        high: Upper end.
        cells: Number of pairs of values.
    """

    tau: float
    low: float
    high: float
    cells: int


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> RankCorrelation | None:
    """Kendall's tau-b of pairs with its interval.

    By Fisher's transformation: artanh(tau) has about the variance .437 / (n - 4) (Fieller, Hartley and Pearson
    1957; Bonett and Wright 2000).

    Args:
        first: (n,) values.
        second: (n,) values of the same cells.

    Returns:
        None below `FEWEST_CELLS` pairs, or where all values of one side are equal.
    """
    from scipy.stats import kendalltau

    n = len(first)
    if n < FEWEST_CELLS or len(set(first)) == 1 or len(set(second)) == 1:
        return None
    tau = float(kendalltau(first, second).statistic)
    if abs(tau) > 1 - 1e-9:
        tau = math.copysign(1.0, tau)
        # artanh is infinite here, so the interval is that of the tau with one discordant pair.
        inner = math.copysign(1 - 4 / (n * (n - 1)), tau)
        low, high = _interval(inner, n)
        return RankCorrelation(tau, low if tau > 0 else -1.0, 1.0 if tau > 0 else high, n)
    return RankCorrelation(tau, *_interval(tau, n), n)


def _interval(tau: float, n: int) -> tuple[float, float]:
    half = NormalDist().inv_cdf(1 - LEVEL / 2) * math.sqrt(0.437 / (n - 4))
    return math.tanh(math.atanh(tau) - half), math.tanh(math.atanh(tau) + half)

"""Means with their spread, and ranks that admit ties.

Every number on a board is a mean over seeds. With n seeds it comes with the sample standard deviation
(divisor n - 1) and the 95 % interval of the mean, mean ± t(n - 1) · std / √n, which assumes that results
are roughly normal over seeds. One seed has neither: they are None, never 0.

Two entries are told apart by Welch's unequal-variances t test (Welch 1947), two-sided, at 5 %, without a
correction for the number of pairs. An entry's rank is a range: one more than the entries that are better
beyond that test, up to the number of all entries minus those that are worse beyond it. An entry with
one seed has no known spread and is told apart from nothing.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LEVEL = 0.05


@dataclass(frozen=True)
class Summary:
    """One metric of one entry over its seeds.

    Attributes:
        values: The values, in the order of the seeds.
        mean: Their mean.
        std: Sample standard deviation; None for one value.
        interval: Low and high end of the 95 % interval of the mean; None for one value.
    """

    values: tuple[float, ...]
    mean: float
    std: float | None
    interval: tuple[float, float] | None

    @property
    def n(self) -> int:
        """Number of values."""
        return len(self.values)


@dataclass(frozen=True)
class RankRange:
    """The best and the worst rank that the data leave open; `first` = `last` where it is certain."""

    first: int
    last: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}–{self.last}"


def summarize(values: Sequence[float]) -> Summary:
    """Summarize at least one finite value."""
    mean = float(statistics.mean(values))
    n = len(values)
    if n == 1:
        return Summary(tuple(values), mean, None, None)
    std = math.hypot(*(value - mean for value in values)) / math.sqrt(n - 1)
    half = t_quantile(1 - LEVEL / 2, n - 1) * std / math.sqrt(n)
    return Summary(tuple(values), mean, std, (mean - half, mean + half))


def rank_ranges(summaries: Sequence[Summary], *, higher_is_better: bool) -> list[RankRange]:
    """Give each entry the range of ranks that Welch's test at 5 % leaves open."""
    ranges = []
    for entry in summaries:
        better = worse = 0
        for other in summaries:
            if separated(entry, other):
                if (other.mean > entry.mean) == higher_is_better:
                    better += 1
                else:
                    worse += 1
        ranges.append(RankRange(better + 1, len(summaries) - worse))
    return ranges


def separated(a: Summary, b: Summary) -> bool:
    """Whether Welch's test at 5 % tells two entries apart; never with one seed on either side."""
    if a.std is None or b.std is None or a.mean == b.mean:
        return False
    return welch_p_value(a, b) < LEVEL


def welch_p_value(a: Summary, b: Summary) -> float:
    """Two-sided p value of Welch's test, degrees of freedom by Welch and Satterthwaite.

    Two entries without any spread get 1 if their means are equal and 0 if not.

    Raises:
        ValueError: One of the two has a single value.
    """
    if a.std is None or b.std is None:
        raise ValueError("Welch's test needs two values on each side")
    scale = max(a.std, b.std)
    if scale == 0:
        return 1.0 if a.mean == b.mean else 0.0
    share_a = (a.std / scale) ** 2 / a.n
    share_b = (b.std / scale) ** 2 / b.n
    freedom = (share_a + share_b) ** 2 / (share_a**2 / (a.n - 1) + share_b**2 / (b.n - 1))
    t = (a.mean - b.mean) / scale / math.sqrt(share_a + share_b)
    return 2 * (1 - t_cdf(abs(t), freedom))


def t_cdf(t: float, freedom: float) -> float:
    """Cumulative distribution of Student's t with `freedom` > 0 degrees of freedom, which may be broken.

    P(|T| > t) is the regularized incomplete beta function I_x(freedom / 2, 1 / 2) at
    x = freedom / (freedom + t²), and 1 - I_(1-x)(1 / 2, freedom / 2) (DLMF 8.17, Abramowitz and Stegun
    26.7.1); the smaller of x and 1 - x is the one that is computed without cancellation.
    """
    square = t * t
    if square > freedom:
        tail = _incomplete_beta(freedom / 2, 0.5, freedom / (freedom + square)) / 2
    else:
        tail = (1 - _incomplete_beta(0.5, freedom / 2, square / (freedom + square))) / 2
    return 1 - tail if t > 0 else tail


@lru_cache(maxsize=512)
def t_quantile(probability: float, freedom: float) -> float:
    """Solve t_cdf(t, freedom) = `probability` for 0.5 <= probability < 1, by bisection."""
    high = 1.0
    while t_cdf(high, freedom) < probability:
        high *= 2
    low = 0.0
    while low < (middle := (low + high) / 2) < high:
        if t_cdf(middle, freedom) < probability:
            low = middle
        else:
            high = middle
    return high


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """I_x(a, b) by its continued fraction (DLMF 8.17.22), evaluated with Lentz's method."""
    if x <= 0 or x >= 1:
        return min(max(x, 0.0), 1.0)
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, 1 - x)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    tiny = 1e-300
    c, d = 1.0, 1 / ((1 - (a + b) * x / (a + 1)) or tiny)
    fraction = d
    for m in range(1, 1000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for coefficient in (even, odd):
            d = 1 / ((1 + coefficient * d) or tiny)
            c = (1 + coefficient / c) or tiny
            fraction *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return front * fraction / a

"""Summarises the runs of one cell: mean, standard deviation over seeds, intervals for this and new test sets.

The design is crossed: every seed is evaluated on the same items. With n seeds, m items and
contributions x[s, i] whose mean over items is the run's value (`items`), the two-way random model
x[s, i] = mean + seed[s] + item[i] + rest[s, i] has the mean squares MS_seeds, MS_items and MS_rest with n - 1,
m - 1 and (n - 1)(m - 1) degrees of freedom (Cornfield and Tukey 1956; Searle, Casella and McCulloch 1992, 4.3).
The variance of the grand mean is

* on *this test set* MS_seeds / (n m), which is the variance of the runs' values divided by n: the usual t
  interval;
* on *new test sets* (MS_seeds + MS_items - MS_rest) / (n m), with degrees of freedom by Satterthwaite (1946).

Averages over seeds are taken on the scale on which results are compared: logarithms for a perplexity, whose
mean is therefore the geometric mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

LEVEL = 0.05
FEWEST_SEEDS = 3
"""Entries with fewer seeds have no rank: with two, an interval reaches 9 standard deviations to each side."""

Scale = Literal["plain", "log"]


@dataclass(frozen=True)
class Components:
    """Variance components of the two-way random model of seeds and items.

    Attributes:
        seeds: Variance between trainings.
        items: Variance between items.
        rest: Residual variance (interaction of training and item).
        items_count: Number of items.
    """

    seeds: float
    items: float
    rest: float
    items_count: int


@dataclass(frozen=True)
class Summary:
    """Summary of one metric of one entry over its seeds.

    Attributes:
        values: The values, in the order of the seeds.
        mean: Their mean; the geometric mean on the logarithmic scale.
        std: Sample standard deviation of the values; None for one value.
        interval: 95 % interval of the mean on this test set; None for one value.
        new_items: 95 % interval of the mean on new test sets; None for one value or without items.
        components: Variance components on the scale of comparison; None without items.
        scale: The scale on which the values are averaged and compared.
    """

    values: tuple[float, ...]
    mean: float
    std: float | None
    interval: tuple[float, float] | None
    new_items: tuple[float, float] | None = None
    components: Components | None = None
    scale: Scale = "plain"

    @property
    def n(self) -> int:
        """Number of values."""
        return len(self.values)


def scale_of(metric: str) -> Scale:
    """The scale on which a metric is compared: `log` for perplexities, as they are exponentials of losses."""
    return "log" if metric.endswith("perplexity") else "plain"


def to_scale(value: float, scale: Scale) -> float:
    """Transform a value to the scale of comparison."""
    return value if scale == "plain" else math.log(value)


def from_scale(value: float, scale: Scale) -> float:
    """The inverse of `to_scale`; infinite where the result overflows."""
    if scale == "plain":
        return value
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def summarize(
    values: Sequence[float], scale: Scale = "plain", contributions: np.ndarray | None = None
) -> Summary:
    """Summarise at least one finite value.

    Args:
        values: One for each seed. If one is not above 0, the plain scale is used in place of logarithms.
        scale: The scale of comparison.
        contributions: (seeds, items); the mean of each row is the value of the seed on that scale.
    """
    if scale == "log" and min(values) <= 0:
        scale, contributions = "plain", None
    scaled = [to_scale(value, scale) for value in values]
    mean, n = _mean(scaled), len(values)
    std = deviation(values)
    if std is None:
        return Summary(tuple(values), from_scale(mean, scale), None, None, scale=scale)
    spread = deviation(scaled) or 0.0
    interval = _interval(mean, spread / math.sqrt(n), n - 1, scale)
    components = new_items = None
    if contributions is not None and contributions.shape[1] > 1:
        components = variance_components(contributions)
        new_items = _interval(mean, *new_items_error(contributions), scale)
    return Summary(tuple(values), from_scale(mean, scale), std, interval, new_items, components, scale)


def deviation(values: Sequence[float]) -> float | None:
    """Sample standard deviation (divisor n - 1) without overflow; None for one value."""
    if len(values) < 2:
        return None
    mean = _mean(values)
    return math.hypot(*(value - mean for value in values)) / math.sqrt(len(values) - 1)


def mean_squares(contributions: np.ndarray) -> tuple[float, float, float]:
    """MS_seeds, MS_items, MS_rest of (n, m) contributions, n and m at least 2."""
    n, m = contributions.shape
    by_seed = contributions.mean(1)  # (n,)
    by_item = contributions.mean(0)  # (m,)
    rest = contributions - by_seed[:, None] - by_item + by_seed.mean()  # (n, m)
    of_seeds, of_items = m * by_seed.var(ddof=1), n * by_item.var(ddof=1)
    return float(of_seeds), float(of_items), float((rest**2).sum() / ((n - 1) * (m - 1)))


def variance_components(contributions: np.ndarray) -> Components:
    """Estimate the components by the method of moments; negative estimates become 0."""
    n, m = contributions.shape
    of_seeds, of_items, rest = mean_squares(contributions)
    return Components(max(of_seeds - rest, 0.0) / m, max(of_items - rest, 0.0) / n, rest, m)


def new_items_error(contributions: np.ndarray) -> tuple[float, float]:
    """Standard error of the grand mean over seeds and items, and Satterthwaite's degrees of freedom.

    A component whose estimate is below 0 counts as 0.
    """
    n, m = contributions.shape
    of_seeds, of_items, rest = mean_squares(contributions)
    terms = [(rest, -1.0, (n - 1) * (m - 1)), (of_seeds, 1.0, n - 1), (of_items, 1.0, m - 1)]
    if of_seeds <= rest:
        terms = [(of_items, 1.0, m - 1)] if of_items > rest else [(rest, 1.0, (n - 1) * (m - 1))]
    elif of_items <= rest:
        terms = [(of_seeds, 1.0, n - 1)]
    total = sum(sign * square for square, sign, _ in terms)
    if total <= 0:
        return 0.0, float(n - 1)
    freedom = total**2 / sum(square**2 / df for square, _, df in terms)
    return math.sqrt(total / (n * m)), freedom


def prediction_interval(values: Sequence[float], scale: Scale = "plain") -> tuple[float, float] | None:
    """95 % prediction interval of one more run of the same cell on the same test set; None for one value.

    mean ± t(n - 1) · s · √(1 + 1 / n) (Hahn and Meeker 1991, 4.7): both the new run and the mean of the others
    vary.
    """
    if len(values) < 2:
        return None
    if scale == "log" and min(values) <= 0:
        scale = "plain"
    scaled = [to_scale(value, scale) for value in values]
    spread = deviation(scaled) or 0.0
    return _interval(_mean(scaled), spread * math.sqrt(1 + 1 / len(values)), len(values) - 1, scale)


@lru_cache(maxsize=4096)
def t_quantile(probability: float, freedom: float) -> float:
    """Quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, probability))


def _interval(mean: float, error: float, freedom: float, scale: Scale) -> tuple[float, float]:
    half = t_quantile(1 - LEVEL / 2, freedom) * error
    return from_scale(mean - half, scale), from_scale(mean + half, scale)


def _mean(values: Sequence[float]) -> float:
    # Divides before it sums, so that the sum of values near the largest float does not overflow.
    return math.fsum(value / len(values) for value in values)

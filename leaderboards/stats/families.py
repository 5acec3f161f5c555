"""Multiple comparisons of cells: all against one (Dunnett), all pairs (Tukey), other families (Holm).

Runs of different cells with the same seed are not paired, as their random numbers have nothing in common. So on
*this test set* the runs are k independent samples. Their variance is pooled, which with three seeds per cell
gives 2k degrees of freedom instead of 2, unless Bartlett's (1937) test at 1 % finds different variances, as
when a cell sometimes diverges. Then each cell keeps its own variance, and each comparison has degrees of
freedom by Welch and Satterthwaite (Games and Howell 1976 for pairs; Hasler and Hothorn 2008 for all against
one).

On *new test sets* all cells share the items, so the contributions of two cells are paired over items. The
covariance of the cells' means is S / m + diag(seed variance / n), where S is the covariance over items of the
contributions averaged over seeds; the joint distribution of the differences is a multivariate t.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np

from leaderboards.stats.seeds import FEWEST_SEEDS, LEVEL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

BARTLETT_LEVEL = 0.01
DRAWS = 1 << 14
"""Samples of a multivariate t without a closed form; the error of a level of 5 % is then about .2 %."""


@dataclass(frozen=True)
class Spread:
    """The variances of runs over seeds, for k cells.

    Attributes:
        variances: (k,) variances that comparisons use: all equal if they are pooled.
        freedoms: (k,) their degrees of freedom.
        pooled: Whether the variance is pooled.
    """

    variances: tuple[float, ...]
    freedoms: tuple[float, ...]
    pooled: bool


@dataclass(frozen=True)
class Comparison:
    """The difference of two entries, first minus second, on the scale of comparison.

    Attributes:
        difference: Difference of the means.
        low: Lower end of its interval, simultaneous over the family.
        high: Upper end.
        statistic: Absolute difference in standard errors; infinite if the standard error is 0.
        tail: Statistic -> p value.
    """

    difference: float
    low: float
    high: float
    statistic: float
    tail: Callable[[float], float] = field(compare=False, repr=False)

    @property
    def p(self) -> float:
        """The p value, adjusted for the family."""
        if math.isinf(self.statistic):
            return 0.0
        return min(1.0, max(0.0, self.tail(self.statistic))) if self.statistic else 1.0

    @property
    def apart(self) -> bool:
        """Whether the difference is significant: the interval does not contain 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Samples:
    """The runs of k cells on the scale of comparison, each with at least `FEWEST_SEEDS` of them."""

    values: tuple[np.ndarray, ...]

    @property
    def means(self) -> np.ndarray:
        """(k,)."""
        return np.array([values.mean() for values in self.values])

    @property
    def sizes(self) -> np.ndarray:
        """(k,) numbers of seeds."""
        return np.array([len(values) for values in self.values], dtype=float)


def samples(values: Sequence[Sequence[float] | np.ndarray]) -> Samples:
    """Collect the runs of each cell.

    Raises:
        ValueError: A cell has fewer than `FEWEST_SEEDS` runs.
    """
    if any(len(of_cell) < FEWEST_SEEDS for of_cell in values):
        raise ValueError(f"a comparison needs {FEWEST_SEEDS} seeds a cell")
    return Samples(tuple(np.asarray(of_cell, dtype=float) for of_cell in values))


def spread_of(runs: Samples) -> Spread:
    """Pool the variances, unless they differ significantly."""
    freedoms = runs.sizes - 1
    own = np.array([values.var(ddof=1) for values in runs.values])
    pooled = float((freedoms * own).sum() / freedoms.sum())
    if _differ(own, freedoms, pooled):
        return Spread(tuple(map(float, own)), tuple(map(float, freedoms)), pooled=False)
    k = len(own)
    return Spread((pooled,) * k, (float(freedoms.sum()),) * k, pooled=True)


def _differ(variances: np.ndarray, freedoms: np.ndarray, pooled: float) -> bool:
    """Bartlett's test of equal variances; a variance of 0 is replaced by the smallest positive one."""
    from scipy.special import chdtrc

    if len(variances) < 2 or pooled == 0:
        return False
    floor = variances[variances > 0].min()
    statistic = freedoms.sum() * math.log(pooled) - (freedoms * np.log(np.maximum(variances, floor))).sum()
    k = len(variances)
    correction = 1 + ((1 / freedoms).sum() - 1 / freedoms.sum()) / (3 * (k - 1))
    return bool(chdtrc(k - 1, max(statistic / correction, 0.0)) < BARTLETT_LEVEL)


def against(runs: Samples, control: int, spread: Spread | None = None) -> dict[int, Comparison]:
    """Compare every other cell with one (Dunnett 1955), two-sided, simultaneous at 95 %.

    Returns:
        Cell -> comparison of that cell minus the control.
    """
    spread = spread or spread_of(runs)
    means, errors = runs.means, np.array(spread.variances) / runs.sizes
    others = [cell for cell in range(len(means)) if cell != control]
    variances = errors[others] + errors[control]
    # The differences share the control, so their correlation is λ_i λ_j, where λ_i² is the control's share of
    # the variance of difference i.
    parts = np.divide(errors[control], variances, out=np.full(len(others), 0.5), where=variances > 0)
    if not spread.pooled:
        # Rounded, so that the cache of quantiles is hit; rounding down makes the critical value larger.
        parts = np.floor(parts * 10) / 10
    shape = tuple(sorted(round(float(part), 9) for part in parts))
    compared = {}
    for cell, variance in zip(others, variances, strict=True):
        freedom = _freedom(spread, errors, cell, control)
        compared[cell] = _comparison(
            float(means[cell] - means[control]),
            math.sqrt(variance),
            dunnett_quantile(shape, freedom),
            partial(_dunnett_tail, shape, freedom),
        )
    return compared


def pairs(runs: Samples, spread: Spread | None = None) -> dict[tuple[int, int], Comparison]:
    """Compare all pairs (Tukey 1953, Kramer 1956), simultaneous at 95 %; (i, j) with i < j is i minus j."""
    spread = spread or spread_of(runs)
    means, errors = runs.means, np.array(spread.variances) / runs.sizes
    k = len(means)
    compared = {}
    for i in range(k):
        for j in range(i + 1, k):
            freedom = _freedom(spread, errors, i, j)
            compared[i, j] = _comparison(
                float(means[i] - means[j]),
                math.sqrt(errors[i] + errors[j]),
                tukey_quantile(k, freedom),
                partial(_tukey_tail, k, freedom),
            )
    return compared


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjust p values (Holm 1979): the j-th smallest times (number - j + 1), made monotone."""
    adjusted, highest = {}, 0.0
    ordered = sorted(p_values.items(), key=lambda entry: entry[1])
    for place, (name, p) in enumerate(ordered):
        highest = max(highest, min(1.0, p * (len(ordered) - place)))
        adjusted[name] = highest
    return {name: adjusted[name] for name in p_values}


def against_on_new_items(contributions: Sequence[np.ndarray], control: int) -> dict[int, Comparison]:
    """Compare every other cell with one over seeds and items, simultaneous at 95 %.

    Args:
        contributions: For each cell (its seeds, items); the items are the same for all.
        control: Which cell is compared with.
    """
    k, m = len(contributions), contributions[0].shape[1]
    sizes = np.array([len(matrix) for matrix in contributions], dtype=float)
    runs = samples([matrix.mean(1) for matrix in contributions])
    spread = spread_of(runs)
    # (k,) the part of a run's variance that comes from the residuals of its items
    rest = np.array([_rest(matrix) for matrix in contributions]) / m
    if spread.pooled:
        rest[:] = np.average(rest, weights=sizes - 1)
    seed_variances = np.array(spread.variances)
    seeds = np.maximum(seed_variances - rest, 0.0) / sizes
    by_item = np.stack([matrix.mean(0) for matrix in contributions])  # (k, m)
    covariance = np.atleast_2d(np.cov(by_item)) / m + np.diag(seeds)
    others = [cell for cell in range(k) if cell != control]
    contrast = np.zeros((len(others), k))
    contrast[np.arange(len(others)), others] = 1.0
    contrast[:, control] = -1.0
    joint = contrast @ covariance @ contrast.T
    variances = np.maximum(np.diag(joint), 0.0)
    freedom = math.inf
    for row, cell in enumerate(others):
        seed_part = [(seeds[c] and seed_variances[c] / sizes[c], spread.freedoms[c]) for c in (cell, control)]
        if spread.pooled:
            seed_part = [(sum(part for part, _ in seed_part), spread.freedoms[cell])]
        item_part = max(variances[row] - seeds[cell] - seeds[control], 0.0)
        below = sum(part**2 / df for part, df in seed_part) + item_part**2 / (m - 1)
        # The smallest of the family is used for all; with a pooled variance they hardly differ.
        freedom = min(freedom, variances[row] ** 2 / below if below > 0 else float(m - 1))
    scale = np.sqrt(np.where(variances > 0, variances, 1.0))
    largest = _largest_draws(joint / np.outer(scale, scale))
    critical = _drawn_quantile(largest, freedom)
    return {
        cell: _comparison(
            float(by_item[cell].mean() - by_item[control].mean()),
            math.sqrt(variances[row]),
            critical,
            partial(_drawn_tail, largest, freedom=freedom),
        )
        for row, cell in enumerate(others)
    }


def _rest(matrix: np.ndarray) -> float:
    n, m = matrix.shape
    rest = matrix - matrix.mean(1)[:, None] - matrix.mean(0) + matrix.mean()
    return float((rest**2).sum() / ((n - 1) * (m - 1)))


def _freedom(spread: Spread, errors: np.ndarray, i: int, j: int) -> float:
    if spread.pooled:
        return spread.freedoms[i]
    scale = max(errors[i], errors[j])
    if scale == 0:
        return spread.freedoms[i] + spread.freedoms[j]
    a, b = errors[i] / scale, errors[j] / scale
    freedom = (a + b) ** 2 / (a * a / spread.freedoms[i] + b * b / spread.freedoms[j])
    # Rounded down to fifths, so that the cache of quantiles is hit; the interval becomes slightly wider.
    return max(1.0, math.floor(5 * freedom) / 5)


def _comparison(difference: float, error: float, critical: float, tail: Callable[[float], float]) -> Comparison:
    if error == 0:
        return Comparison(difference, difference, difference, math.inf if difference else 0.0, tail)
    half = critical * error
    return Comparison(difference, difference - half, difference + half, abs(difference) / error, tail)


def _dunnett_tail(parts: tuple[float, ...], freedom: float, t: float) -> float:
    return 1 - dunnett_probability(t, parts, freedom)


def _tukey_tail(k: int, freedom: float, t: float) -> float:
    return tukey_tail(t, k, freedom)


def dunnett_probability(t: float, parts: tuple[float, ...], freedom: float) -> float:
    """P(all |T_i| <= t) for a multivariate t with correlations √(part_i part_j).

    Given the common normal z and the common χ / √ν = s it is a product over the entries (Dunnett 1955, eq. 3):
    ∫∫ Π_i [Φ((√part_i z + t s) / √(1 - part_i)) - Φ((√part_i z - t s) / √(1 - part_i))] dΦ(z) dF(s).
    """
    from scipy.special import ndtr

    z, z_weights = _normal_nodes()
    s, s_weights = _chi_nodes(freedom)
    product = np.ones((len(s), len(z)))
    values, counts = np.unique(parts, return_counts=True)
    for part, count in zip(values, counts, strict=True):
        own = math.sqrt(max(1 - part, 1e-12))
        middle = math.sqrt(part) * z / own  # (z,)
        reach = t * s[:, None] / own  # (s, 1)
        product *= (ndtr(middle + reach) - ndtr(middle - reach)) ** int(count)
    return float(s_weights @ product @ z_weights)


@lru_cache(maxsize=1024)
def dunnett_quantile(parts: tuple[float, ...], freedom: float) -> float:
    """The t with `dunnett_probability` 95 %."""
    from scipy.optimize import brentq

    return float(brentq(lambda t: dunnett_probability(t, parts, freedom) - (1 - LEVEL), 0.5, 5e4, xtol=1e-6))


@lru_cache(maxsize=1024)
def tukey_quantile(k: int, freedom: float) -> float:
    """95 % quantile of the studentized range of k means, over √2: what |difference| / error must exceed."""
    from scipy.optimize import brentq

    return float(brentq(lambda t: tukey_tail(t, k, freedom) - LEVEL, 0.5, 5e4, xtol=1e-6))


def tukey_tail(t: float, k: int, freedom: float) -> float:
    """P(studentized range > √2 t): k ∫∫ φ(z) [Φ(z) - Φ(z - √2 t s)]^(k - 1) dz dF(s) (Tukey 1953)."""
    from scipy.special import ndtr

    z, z_weights = _normal_nodes()
    s, s_weights = _chi_nodes(freedom)
    inside = (ndtr(z) - ndtr(z - math.sqrt(2) * t * s[:, None])) ** (k - 1)  # (s, z)
    return 1.0 - float(k * (s_weights @ inside @ z_weights))


@lru_cache(maxsize=1)
def _normal_nodes() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of the standard normal by the trapezoidal rule, which is very accurate for it."""
    z = np.linspace(-8.5, 8.5, 205)
    weights = np.exp(-z * z / 2)
    return z, weights / weights.sum()


@lru_cache(maxsize=512)
def _chi_nodes(freedom: float) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of χ_ν / √ν: Gauss-Legendre over the range with all but 1e-12 of the probability."""
    from scipy.special import chdtri

    low = math.sqrt(chdtri(freedom, 1 - 1e-12) / freedom)
    high = math.sqrt(chdtri(freedom, 1e-12) / freedom)
    nodes, weights = np.polynomial.legendre.leggauss(64)
    s = low + (high - low) * (nodes + 1) / 2
    density = (freedom - 1) * np.log(s) - freedom * s * s / 2  # log, up to a constant
    mass = weights * np.exp(density - density.max())
    return s, mass / mass.sum()


def _largest_draws(joint: np.ndarray) -> np.ndarray:
    """Sorted samples of max |Z_i| for a normal with this correlation matrix, from a fixed seed."""
    values, vectors = np.linalg.eigh(joint)
    root = vectors * np.sqrt(np.maximum(values, 0.0))  # (d, d)
    return np.sort(np.abs(_normal_draws(len(joint)) @ root.T).max(1))


@lru_cache(maxsize=8)
def _normal_draws(dimensions: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((DRAWS if dimensions <= 32 else DRAWS // 2, dimensions))


def _drawn_tail(largest: np.ndarray, t: float, freedom: float) -> float:
    s, weights = _chi_nodes(freedom)
    return float(1 - weights @ (np.searchsorted(largest, t * s) / len(largest)))


def _drawn_quantile(largest: np.ndarray, freedom: float) -> float:
    from scipy.optimize import brentq

    if not largest[-1]:  # no cell differs from the control on any item
        return 0.0
    return float(brentq(lambda t: _drawn_tail(largest, t, freedom) - LEVEL, 0.1, 5e4, xtol=1e-4))

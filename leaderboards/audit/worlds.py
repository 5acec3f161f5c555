"""Simulates results with crossed random effects: k cells with n seeds each on m common items.

The latent score of an item is the sum of the item's difficulty, an effect of the cell on this item, an effect
of the training, and noise. Two trainings of one cell have a correlation of .5 to .9 over items, which is drawn
for each board. The effect of the training is scaled so that the value of a run varies by about two points
between seeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from leaderboards.stats import items

if TYPE_CHECKING:
    from collections.abc import Callable

Metric = Literal["f1", "accuracy", "mcc", "perplexity", "correlation"]
METRICS: tuple[Metric, ...] = ("f1", "accuracy", "mcc", "perplexity", "correlation")

CELL_SHARE = 0.3
"""Share of the common variance of a cell's trainings on an item that is due to the cell, not to the item."""
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(9)
_HIT, _MISS = 0.95, 0.55
_SLOPE = 0.5
_NATS, _NATS_SPREAD = 4.6, 0.8


@dataclass(frozen=True)
class World:
    """One simulated board with the true values, on the scale of comparison.

    Attributes:
        contributions: For each cell (seeds, items).
        this_test_set: (k,) mean over all trainings on these items.
        new_test_sets: (k,) mean over all trainings and items.
    """

    contributions: list[np.ndarray]
    this_test_set: np.ndarray
    new_test_sets: np.ndarray

    @property
    def values(self) -> list[np.ndarray]:
        """For each cell its runs' values."""
        return [matrix.mean(1) for matrix in self.contributions]


@dataclass(frozen=True)
class Setting:
    """The parameters of a simulation.

    Attributes:
        metric: The metric.
        cells: Number of cells.
        seeds: Number of seeds per cell.
        items: Number of items.
        shift: Latent advantage of the last cell.
        same_on_items: Whether cells are equal on each item, not only on average.
        spread_of_last: Factor for the standard deviation between seeds of the last cell.
    """

    metric: Metric
    cells: int
    seeds: int
    items: int
    shift: float = 0.0
    same_on_items: bool = False
    spread_of_last: float = 1.0


_SEED_DEVIATION: dict[Metric, float] = {
    "f1": 0.11,
    "accuracy": 0.065,
    "mcc": 0.03,
    "perplexity": 0.025,
    "correlation": 0.03,
}
_LEVEL: dict[Metric, float] = {
    "f1": 0.6,
    "accuracy": 0.8,
    "mcc": 0.8,
    "perplexity": 0.0,
    "correlation": 0.0,
}


def simulate(setting: Setting, generator: np.random.Generator) -> World:
    """Simulate a board."""
    k, n, m = setting.cells, setting.seeds, setting.items
    common = generator.uniform(0.5, 0.9)
    rest = np.sqrt(1 - common)
    own = generator.standard_normal((1 if setting.same_on_items else k, m)) * np.sqrt(CELL_SHARE * common)
    difficulty = generator.standard_normal(m) * np.sqrt((1 - CELL_SHARE) * common)
    likes = np.broadcast_to(own + difficulty, (k, m))
    gold = _gold(setting.metric, m, generator)
    shifts = np.zeros(k)
    shifts[-1] = setting.shift
    contributions, here = [], np.empty(k)
    for cell in range(k):
        deviation = _SEED_DEVIATION[setting.metric]
        if cell == k - 1:
            deviation *= setting.spread_of_last
        mean = _LEVEL[setting.metric] + shifts[cell]
        effects = mean + deviation * generator.standard_normal(n)
        noise = rest * generator.standard_normal((n, m), dtype=np.float32)
        runs = [_run(setting.metric, gold, likes[cell] + noise[s], effects[s], generator) for s in range(n)]
        contributions.append(np.stack([run.contributions for run in runs]))
        expected = partial(_expected, setting.metric, gold, likes[cell], rest)
        here[cell] = _over_seeds(expected, mean, deviation)
    everywhere = np.array(
        [
            _everywhere(
                setting.metric,
                _LEVEL[setting.metric] + shifts[cell],
                setting.spread_of_last if cell == k - 1 else 1.0,
            )
            for cell in range(k)
        ]
    )
    return World(contributions, here, everywhere)


def _over_seeds(value: Callable[[float], float], mean: float, deviation: float) -> float:
    return float(
        sum(w * value(mean + deviation * z) for z, w in zip(NODES, WEIGHTS, strict=True)) / WEIGHTS.sum()
    )


def _gold(metric: Metric, m: int, generator: np.random.Generator) -> np.ndarray:
    """(m,): spans, class, tokens or score of each item."""
    if metric == "f1":
        return generator.poisson(1.2, m).astype(float)
    if metric == "perplexity":
        return 5.0 + generator.poisson(15, m)
    if metric == "correlation":
        return generator.standard_normal(m)
    return (generator.random(m) < 0.3).astype(float)


def _run(
    metric: Metric, gold: np.ndarray, latent: np.ndarray, effect: float, generator: np.random.Generator
) -> items.Evaluated:
    """One training evaluated on all items: (m,) gold and latent."""
    if metric == "perplexity":
        return items.ratio(gold * (_NATS + _NATS_SPREAD * latent + effect), gold)
    if metric == "correlation":
        score = (_SLOPE + effect) * gold + np.sqrt(1 - _SLOPE**2) * latent
        return items.correlation(gold[:, None], score[:, None])
    right = latent + effect > 0
    if metric == "accuracy":
        return items.ratio(right.astype(float), np.ones(len(gold)))
    if metric == "mcc":
        predicted = np.where(right, gold, 1 - gold)
        both = [np.stack([1 - labels, labels], 1) for labels in (gold, predicted)]
        return items.correlation(*both)
    rate = np.where(right, _HIT, _MISS)
    tp = generator.binomial(gold.astype(int), rate)
    fp = generator.poisson(gold * (1 - rate))
    return items.ratio(2.0 * tp, tp + fp + gold)


def _expected(metric: Metric, gold: np.ndarray, likes: np.ndarray, rest: float, effect: float) -> float:
    """Expected value of a training with this effect, averaged over the noise; `gold` and `likes` are (m,)."""
    from scipy.special import ndtr

    if metric == "perplexity":
        return float((gold * (_NATS + _NATS_SPREAD * likes + effect)).sum() / gold.sum())
    if metric == "correlation":
        noise = np.sqrt(1 - _SLOPE**2)
        score = (_SLOPE + effect) * gold + noise * likes
        spread = score.var() + (noise * rest) ** 2
        return float(((gold - gold.mean()) * score).mean() / np.sqrt(gold.var() * spread))
    return _from_rates(metric, gold, ndtr((likes + effect) / rest))


def _from_rates(metric: Metric, gold: np.ndarray, right: np.ndarray) -> float:
    if metric == "accuracy":
        return float(right.mean())
    if metric == "mcc":
        tp, positives = (gold * right).mean(), gold.mean()
        predicted = tp + ((1 - gold) * (1 - right)).mean()
        spread = predicted * (1 - predicted) * positives * (1 - positives)
        return float((tp - predicted * positives) / np.sqrt(spread))
    rate = _MISS + (_HIT - _MISS) * right
    tp, fp = (gold * rate).sum(), (gold * (1 - rate)).sum()
    return float(2 * tp / (tp + fp + gold.sum()))


@lru_cache(maxsize=256)
def _everywhere(metric: Metric, mean: float, spread: float) -> float:
    """Value over all trainings and all items: closed form per seed effect, quadrature over seeds."""
    from scipy.special import ndtr

    def value(effect: float) -> float:
        if metric == "perplexity":
            return _NATS + effect
        if metric == "correlation":
            slope = _SLOPE + effect
            return float(slope / np.sqrt(slope**2 + 1 - _SLOPE**2))
        gold = np.array([0.0] * 7 + [1.0] * 3) if metric == "mcc" else np.ones(1)
        return _from_rates(metric, gold, np.full(len(gold), ndtr(effect)))

    return _over_seeds(value, mean, _SEED_DEVIATION[metric] * spread)

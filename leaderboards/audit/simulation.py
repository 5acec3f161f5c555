"""Measures how often intervals contain the true value, and how often boards show a false difference."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from leaderboards.audit.worlds import Setting, simulate
from leaderboards.stats.families import against, against_on_new_items, pairs, samples, spread_of
from leaderboards.stats.models import item_randomization
from leaderboards.stats.seeds import LEVEL, summarize
from leaderboards.stats.winner import shrink_best, smallest_detectable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from leaderboards.audit.worlds import Metric, World

CONTROL = 0
SHIFTS: dict[Metric, float] = {
    "f1": 0.4,
    "accuracy": 0.19,
    "mcc": 0.08,
    "perplexity": -0.05,
    "correlation": 0.07,
}
"""Latent advantages by which the last cell is about five points better, to measure power."""


@dataclass
class Tally:
    """Counts by name: number of hits and number of trials."""

    hits: dict[str, float] = field(default_factory=dict)
    trials: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, hits: float, trials: int = 1) -> None:
        """Add to a count."""
        self.hits[name] = self.hits.get(name, 0.0) + float(hits)
        self.trials[name] = self.trials.get(name, 0) + trials

    def share(self, name: str) -> float | None:
        """The share of hits."""
        return self.hits[name] / self.trials[name] if self.trials.get(name) else None

    def error(self, name: str) -> float | None:
        """Binomial standard error of a share."""
        share = self.share(name)
        return None if share is None else math.sqrt(max(share * (1 - share), 0.0) / self.trials[name])


def audit(setting: Setting, worlds: int, generator: np.random.Generator, *, others: bool = False) -> Tally:
    """Simulate boards of one setting.

    Names in the tally: `coverage here` and `coverage new` (intervals of single cells), `simultaneous Dunnett`,
    `simultaneous Tukey`, `simultaneous new` (all intervals of a family hold the true differences), `false
    Dunnett`, `false Tukey`, `false new` (a board of equal cells shows a difference), `bias best`, `bias
    shrunk`; with `others` also `false Welch`, `false items`, `coverage percentile`.

    Args:
        setting: The setting. Cells are equal on average, but differ on single items.
        worlds: Number of boards; for each, another one is simulated in which cells are equal on each item.
        generator: Random number generator.
        others: Whether to test the procedures that boards do not use as well.
    """
    tally = Tally()
    for _ in range(worlds):
        world = simulate(setting, generator)
        _coverage(world, tally)
        _simultaneous(world, tally)
        if others:
            _percentile(world, tally, generator)
        equal = simulate(
            Setting(setting.metric, setting.cells, setting.seeds, setting.items, same_on_items=True), generator
        )
        _false_separations(equal, tally)
        if others:
            _others(equal, tally, generator)
    return tally


def power(setting: Setting, worlds: int, generator: np.random.Generator) -> Tally:
    """How often a board shows the last cell better than the control (`found`, by Dunnett's intervals).

    `stated` is the mean of the smallest detectable differences that the boards state, in points.
    """
    tally = Tally()
    better_is_higher = setting.metric != "perplexity"
    for _ in range(worlds):
        world = simulate(setting, generator)
        runs = samples(world.values)
        comparison = against(runs, CONTROL)[setting.cells - 1]
        tally.add("found", comparison.apart and (comparison.difference > 0) == better_is_higher)
        tally.add("difference", world.this_test_set[-1] - world.this_test_set[CONTROL])
        if (stated := smallest_detectable(runs, one_against_all=True)) is not None:
            tally.add("stated", stated)
    return tally


def shares_of(task: tuple[int, Setting, int]) -> dict[str, Any]:
    """All shares of one setting; the random numbers depend only on its index and the number of boards."""
    number, setting, worlds = task
    tally = audit(setting, worlds, np.random.default_rng([number, worlds]), others=True)
    better = replace(setting, shift=SHIFTS[setting.metric])
    shifted = power(better, max(worlds // 4, 1), np.random.default_rng([number, worlds, 1]))
    shares = {name: tally.share(name) for name in tally.hits}
    shares |= {f"power {name}": shifted.share(name) for name in shifted.hits}
    if setting.cells > 2:
        last = replace(setting, spread_of_last=4.0)
        uneven = audit(last, max(worlds // 4, 1), np.random.default_rng([number, worlds, 2]))
        shares |= {f"uneven {name}": uneven.share(name) for name in uneven.hits}
    return {"setting": asdict(setting), "worlds": worlds, "shares": shares}


def _holds(interval: tuple[float, float] | None, truth: float) -> bool:
    return interval is not None and interval[0] <= truth <= interval[1]


def _coverage(world: World, tally: Tally) -> None:
    for cell, matrix in enumerate(world.contributions):
        summary = summarize(matrix.mean(1).tolist(), contributions=matrix)
        tally.add("coverage here", _holds(summary.interval, world.this_test_set[cell]))
        tally.add("coverage new", _holds(summary.new_items, world.new_test_sets[cell]))


def _simultaneous(world: World, tally: Tally) -> None:
    runs = samples(world.values)
    spread = spread_of(runs)
    here, everywhere = world.this_test_set, world.new_test_sets
    compared = against(runs, CONTROL, spread)
    tally.add(
        "simultaneous Dunnett",
        all(_holds((c.low, c.high), here[cell] - here[CONTROL]) for cell, c in compared.items()),
    )
    tukey = pairs(runs, spread)
    tally.add(
        "simultaneous Tukey", all(_holds((c.low, c.high), here[i] - here[j]) for (i, j), c in tukey.items())
    )
    new = against_on_new_items(world.contributions, CONTROL)
    tally.add(
        "simultaneous new",
        all(_holds((c.low, c.high), everywhere[cell] - everywhere[CONTROL]) for cell, c in new.items()),
    )
    tally.add("false new", any(c.apart for c in new.values()))
    shrunk = shrink_best(runs, higher_is_better=True)
    tally.add("bias best", shrunk.mean - here[shrunk.best])
    tally.add("bias shrunk", shrunk.expected - here[shrunk.best])


def _false_separations(world: World, tally: Tally) -> None:
    runs = samples(world.values)
    spread = spread_of(runs)
    tally.add("false Dunnett", any(c.apart for c in against(runs, CONTROL, spread).values()))
    tally.add("false Tukey", any(c.apart for c in pairs(runs, spread).values()))


def _others(world: World, tally: Tally, generator: np.random.Generator) -> None:
    tally.add("false Welch", _welch_separates(world.values))
    first, second = world.contributions[0][0], world.contributions[1][0]
    tally.add("false items", item_randomization(first, second, generator, draws=400) < LEVEL)


def _welch_separates(values: Sequence[np.ndarray]) -> bool:
    """Whether Welch's test at 5 % tells any pair apart, each pair by itself."""
    from scipy.special import stdtr

    means = np.array([v.mean() for v in values])
    errors = np.array([v.var(ddof=1) / len(v) for v in values])
    freedoms = np.array([len(v) - 1 for v in values])
    i, j = np.triu_indices(len(values), 1)
    total = errors[i] + errors[j]
    freedom = total**2 / (errors[i] ** 2 / freedoms[i] + errors[j] ** 2 / freedoms[j])
    p = 2 * stdtr(freedom, -np.abs(means[i] - means[j]) / np.sqrt(total))
    return bool((p < LEVEL).any())


def _percentile(world: World, tally: Tally, generator: np.random.Generator, draws: int = 300) -> None:
    """The percentile bootstrap over seeds and items, of the first cell."""
    matrix = world.contributions[0]
    n, m = matrix.shape
    seeds = generator.multinomial(n, np.full(n, 1 / n), draws)  # (draws, n)
    chosen = generator.multinomial(m, np.full(m, 1 / m), draws)  # (draws, m)
    means = ((seeds @ matrix) * chosen).sum(1) / (n * m)  # (draws,)
    low, high = np.quantile(means, [LEVEL / 2, 1 - LEVEL / 2])
    tally.add("coverage percentile", _holds((low, high), world.new_test_sets[0]))

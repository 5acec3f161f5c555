"""The protocol of the authors' notebook, repeated: benchmarking_examples.ipynb of fmsnew/nas-bench-nlp-release.

Random search with 50 and with 10 epochs, Hyperband and regularised evolution, with the notebook's numbers: 5
rounds of seeds 0 to 4, budgets about that of 100 trainings, the clock `released`, incumbents by validation, and
regret against the smallest test loss of any recipe at any epoch, an oracle that no search can select. The
notebook's other methods need the 50-D features or libraries that are outdated. The notebook ran on the 14,322
recipes of Penn Treebank; here the pool consists of the recipes of the table whose features were released, with
one log each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cellzoo.errors import CellzooError
from search.benchmark.clock import RELEASED
from search.benchmark.session import Session
from search.benchmark.timing import make_clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import RandomState
    from numpy.typing import NDArray

    from search.benchmark.clock import Clock
    from search.benchmark.table import Architecture, Table

ROUNDS = 5
TRAININGS = 100
EPOCHS = 50
LOW_EPOCHS = 10
ETA = 3
HYPERBAND_SHARE = 3.5
POPULATION, SAMPLE = 20, 10
CHILDREN = 130
STEPS = (0.5, 1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True)
class ReleasedCurve:
    """The result of one method of the notebook.

    Attributes:
        label: As in the notebook's legend.
        hours: Simulated hours after each training, (rounds, trainings).
        regret: Test loss of the recipe and epoch chosen by validation, minus the oracle's, (rounds, trainings).
    """

    label: str
    hours: NDArray[np.float64]
    regret: NDArray[np.float64]


class _Round:
    """One round of one method: its session, and the times and test losses recorded after trainings."""

    def __init__(self, table: Table, clock: Clock, pool: tuple[Architecture, ...]) -> None:
        self.session = Session(table, clock)
        self.pool = pool
        self.hours: list[float] = []
        self.tests: list[float] = []

    def train(self, place: int, epochs: int) -> None:
        self.session.train(self.pool[place], epochs)

    def ended_well(self, place: int) -> bool:
        return not self.session.states[self.pool[place].index].diverged

    def valid(self, place: int, epochs: int) -> float:
        """The validation loss of a training after so many epochs, or after its last if it has fewer."""
        state = self.session.states[self.pool[place].index]
        losses = self.session.table.curve(state.run, "valid")
        return losses[min(epochs, len(losses)) - 1]

    def note(self) -> None:
        best = self.session.incumbent
        self.hours.append(self.session.seconds / 3600.0)
        self.tests.append(math.nan if best is None else best.test)


def can_run_released(table: Table) -> bool:
    """Whether the table has released features of enough recipes for the notebook's protocol."""
    return len(_pool(table)) >= POPULATION


def run_released(table: Table) -> list[ReleasedCurve]:
    """Run the notebook's protocol.

    Raises:
        CellzooError: The table has released features of too few recipes.
    """
    clock = make_clock(table, RELEASED)
    pool = _pool(table)
    if len(pool) < POPULATION:
        raise CellzooError(
            f"the table has features of {len(pool)} recipes; the released protocol needs {POPULATION}"
        )
    features = np.array([table.features(found) for found in pool])
    first = [table.runs(found)[0] for found in pool]
    oracle = min(value for run in first for value in table.curve(run, "test") if not math.isnan(value))
    methods: dict[str, Callable[[_Round, RandomState], None]] = {
        "RS 50E": lambda one, draw: _random(one, draw, EPOCHS),
        "RS 10E": lambda one, draw: _random(one, draw, LOW_EPOCHS),
        "HB": _hyperband,
        "RE": lambda one, draw: _evolution(one, draw, features),
    }
    curves = []
    for label, method in methods.items():
        rounds = []
        for seed in range(ROUNDS):
            one = _Round(table, clock, pool)
            method(one, np.random.RandomState(seed))
            rounds.append(one)
        # A round can end early if all recipes of a rung diverged.
        length = min(len(one.hours) for one in rounds)
        curves.append(
            ReleasedCurve(
                label,
                np.array([one.hours[:length] for one in rounds]),
                np.array([one.tests[:length] for one in rounds]) - oracle,
            )
        )
    return curves


def _pool(table: Table) -> tuple[Architecture, ...]:
    return tuple(found for found in table.pool() if table.features(found) is not None)


def _random(one: _Round, draw: RandomState, epochs: int) -> None:
    """Random search without replacement; it ends early if the pool is exhausted."""
    for place in draw.permutation(len(one.pool))[: TRAININGS * EPOCHS // epochs]:
        one.train(place, epochs)
        one.note()


def _hyperband(one: _Round, draw: RandomState) -> None:
    """Hyperband with R = 50 and eta = 3 (Li et al. 2018)."""
    most = int(math.log(EPOCHS) / math.log(ETA))
    budget = TRAININGS * EPOCHS / HYPERBAND_SHARE
    noted = 0
    for bracket in range(most, -1, -1):
        count = math.ceil(budget / EPOCHS * ETA**bracket / (bracket + 1))
        least = EPOCHS * float(ETA) ** -bracket
        places = draw.choice(len(one.pool), min(count, len(one.pool)), replace=False)
        for rung in range(bracket + 1):
            epochs = int(least * ETA**rung)
            losses = []
            for place in places:
                one.train(place, epochs)
                losses.append(one.valid(place, epochs) if one.ended_well(place) else math.inf)
                noted += 1
                if noted % 25 == 0:
                    one.note()
            one.note()
            kept = int(int(count * float(ETA) ** -rung) / ETA)
            order = np.argsort(losses, kind="stable")[:kept]
            places = places[[place for place in order if losses[place] < math.inf]]


def _evolution(one: _Round, draw: RandomState, features: NDArray[np.float64]) -> None:
    """Regularised evolution; a mutation takes a Gaussian step in feature space to the nearest recipe by cosine.

    The step is widened until it leads to another recipe.
    """
    from scipy.spatial.distance import cdist

    low, high = features.min(axis=0), features.max(axis=0)
    population = list(draw.choice(len(one.pool), POPULATION, replace=False))
    for place in population:
        one.train(place, EPOCHS)
        one.note()
    for _ in range(CHILDREN - POPULATION):
        sample = draw.choice(population, SAMPLE, replace=False)
        alive = [(one.valid(place, EPOCHS), place) for place in sample if one.ended_well(place)]
        if not alive:
            continue
        parent = child = min(alive)[1]
        for step in STEPS:
            moved = np.clip(features[parent] + draw.randn(features.shape[1]) * step, low, high)
            child = int(np.argmin(cdist([moved], features, "cosine")[0]))
            if child != parent:
                break
        one.train(child, EPOCHS)
        one.note()
        population = [*population[1:], child]

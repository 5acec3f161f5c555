"""Adapters of the table to other toolboxes; each imports its toolbox only when it is used.

    syne_tune_blackbox      Syne Tune: a `BlackboxTabular`, for a `UserBlackboxBackend`
    mf_prior_bench          mf-prior-bench: a `TabularBenchmark`
    optunahub_problem       Optuna: a problem with `search_space`, `directions`, `evaluate`, as optunahub's are
    NatsBenchInterface      NATS-Bench: `simulate_train_eval` with its four numbers, `used_time`, `reset_time`
    naslib_dictionary       NASLib: what its NAS-Bench-NLP space takes as `dataset_api`

The toolboxes support neither NaN nor logs that end early. Where they need a number after a run diverged, it is
the loss of a uniform prediction, `UNIFORM_LOSS`, and the elapsed seconds of the last logged epoch.
"""

from __future__ import annotations

import json
import math
import random
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from cellzoo.errors import CellzooError
from cellzoo.system.extras import require
from search.benchmark.logs import EPOCHS, WIKITEXT2
from search.benchmark.session import Session

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from search.benchmark.clock import Clock
    from search.benchmark.table import Table

UNIFORM_LOSS = math.log(33_278)
"""Nats per word, with the vocabulary of WikiText-2."""
RECIPE, DATA, EPOCH = "recipe", "data", "epoch"
VALID, TEST, SECONDS = "valid_loss", "test_loss", "seconds"
EXTRA = "toolboxes"


def filled(table: Table, clock: Clock, run: int) -> NDArray[np.float64]:
    """Validation loss, test loss, and elapsed seconds after each of 50 epochs, without NaN, (50, 3)."""
    length = table.epochs(run)
    rows = []
    for epoch in range(1, EPOCHS + 1):
        at = min(epoch, length)
        losses = [table.curve(run, split)[at - 1] for split in ("valid", "test")]
        known = epoch <= length and not any(map(math.isnan, losses))
        rows.append([*(losses if known else [UNIFORM_LOSS] * 2), clock.seconds(run, at)])
    return np.array(rows)


def syne_tune_blackbox(table: Table, clock: Clock) -> Any:
    """A `BlackboxTabular` with the hyper-parameter `recipe` (its number) and the fidelity `epoch`.

    There is a second hyper-parameter, `data`, with one value, because Syne Tune looks up at least two columns.
    Objectives are `valid_loss`, `test_loss` and `seconds`, which is the elapsed time from the start of a
    training. It has as many seeds as the recipe with the most runs; those of a recipe with fewer are repeated.

    Raises:
        MissingDependencyError: Syne Tune is not installed.
    """
    require("syne_tune", EXTRA)
    import pandas as pd
    from syne_tune.blackbox_repository.blackbox_tabular import BlackboxTabular
    from syne_tune.config_space import choice, randint

    pool = table.pool()
    most = max(len(table.runs(found)) for found in pool)
    values = np.stack(
        [
            np.stack([filled(table, clock, runs[seed % len(runs)]) for seed in range(most)])
            for runs in map(table.runs, pool)
        ]
    )  # (recipes, seeds, epochs, objectives)
    numbers = [str(found.number) for found in pool]
    return BlackboxTabular(
        hyperparameters=pd.DataFrame({RECIPE: numbers, DATA: WIKITEXT2}),
        configuration_space={RECIPE: choice(numbers), DATA: choice([WIKITEXT2])},
        fidelity_space={EPOCH: randint(1, EPOCHS)},
        objectives_evaluations=values,
        fidelity_values=np.arange(1, EPOCHS + 1),
        objectives_names=[VALID, TEST, SECONDS],
    )


def mf_prior_bench(table: Table, clock: Clock) -> Any:
    """A `TabularBenchmark`: ids are numbers of recipes, the fidelity is `epoch`; the first run of each counts.

    A configuration has the numbers of states, nodes and matrices of a cell. The value is `valid_loss`, the test
    value `test_loss`, the cost the elapsed `seconds`.

    Raises:
        MissingDependencyError: mf-prior-bench is not installed.
    """
    require("mfpbench", EXTRA)
    from dataclasses import dataclass

    import pandas as pd
    from mfpbench import TabularBenchmark
    from mfpbench.config import TabularConfig
    from mfpbench.metric import Metric
    from mfpbench.result import Result

    @dataclass(frozen=True, eq=False, unsafe_hash=True)
    class RecipeConfig(TabularConfig):
        states: int
        nodes: int
        matrices: int

    @dataclass(frozen=True)
    class RecipeResult(Result[RecipeConfig, int]):
        metric_defs: ClassVar[Mapping[str, Metric]] = {
            VALID: Metric(minimize=True, bounds=(0, np.inf)),
            TEST: Metric(minimize=True, bounds=(0, np.inf)),
            SECONDS: Metric(minimize=True, bounds=(0, np.inf)),
        }
        default_value_metric: ClassVar[str] = VALID
        default_value_metric_test: ClassVar[str] = TEST
        default_cost_metric: ClassVar[str] = SECONDS
        valid_loss: Metric.Value
        test_loss: Metric.Value
        seconds: Metric.Value

    rows = []
    for found in table.pool():
        recipe = json.loads(found.recipe)
        counts = {
            "states": sum(name.startswith("h_new_") and name[6:].isdigit() for name in recipe),
            "nodes": len(recipe),
            "matrices": sum(len(node["input"]) for node in recipe.values() if node["op"] == "linear"),
        }
        for epoch, row in enumerate(filled(table, clock, table.runs(found)[0]), start=1):
            measured = dict(zip((VALID, TEST, SECONDS), map(float, row), strict=True))
            rows.append({"id": str(found.number), EPOCH: epoch, **measured, **counts})
    return TabularBenchmark(
        name="nas-bench-nlp",
        table=pd.DataFrame(rows),
        id_key="id",
        fidelity_key=EPOCH,
        result_type=RecipeResult,
        config_type=RecipeConfig,
    )


def optunahub_problem(table: Table, clock: Clock, *, epochs: int = EPOCHS) -> Any:
    """A problem for `study.optimize`, with the attributes of optunahub's problems.

    Its only parameter is `recipe`, the number as text; its value is the validation loss after so many epochs,
    or `UNIFORM_LOSS` if that is NaN. `session` has the cost of the study.

    Raises:
        MissingDependencyError: Optuna is not installed.
        CellzooError: There is no such epoch.
    """
    require("optuna", EXTRA)
    import optuna

    if not 1 <= epochs <= EPOCHS:
        raise CellzooError(f"epochs is {epochs}; expected 1 to {EPOCHS}")
    space = {
        RECIPE: optuna.distributions.CategoricalDistribution([str(found.number) for found in table.pool()])
    }

    class Problem:
        """A problem on the table."""

        def __init__(self) -> None:
            self.session = Session(table, clock)

        @property
        def search_space(self) -> dict[str, Any]:
            """Name of a parameter -> distribution."""
            return space

        @property
        def directions(self) -> list[Any]:
            """One, to the smaller."""
            return [optuna.study.StudyDirection.MINIMIZE]

        def evaluate(self, params: Mapping[str, Any]) -> float:
            """The validation loss of a recipe."""
            state = self.session.train(table.find(params[RECIPE]), epochs)
            loss = self.session.loss(state, epochs)
            return loss if math.isfinite(loss) else UNIFORM_LOSS

        def __call__(self, trial: Any) -> float:
            """The objective of a study."""
            return self.evaluate(
                {name: trial.suggest_categorical(name, one.choices) for name, one in space.items()}
            )

    return Problem()


class NatsBenchInterface:
    """The interface of NATS-Bench; architectures are indices into `recipes`, or recipes.

    NATS-Bench returns accuracies, which are maximised, so the value is the negative validation loss. Its `hp`
    selects one of several training recipes; there is only one here, so it is ignored.

    Args:
        table: The table.
        clock: Gives the training times.
    """

    def __init__(self, table: Table, clock: Clock) -> None:
        self.table = table
        self.clock = clock
        self.recipes = table.pool()
        self._runs = [table.runs(found)[0] for found in self.recipes]
        self._used = 0.0
        self._place = {found.index: place for place, found in enumerate(self.recipes)}

    def __len__(self) -> int:
        return len(self.recipes)

    @property
    def used_time(self) -> float:
        """Seconds since the last `reset_time`."""
        return self._used

    def reset_time(self) -> None:
        """Count the seconds from zero."""
        self._used = 0.0

    def random(self, generator: random.Random | None = None) -> int:
        """Draw an index; by default from Python's global generator, as NATS-Bench does."""
        draw = random.randrange if generator is None else generator.randrange
        return draw(len(self.recipes))

    def query_index_by_arch(self, arch: int | str | Mapping[str, Any]) -> int:
        """The index of a recipe, or -1 if the table has no epochs of it."""
        if isinstance(arch, int):
            return arch if 0 <= arch < len(self.recipes) else -1
        return self._place.get(self.table.find(arch).index, -1)

    def simulate_train_eval(
        self,
        arch: int | str | Mapping[str, Any],
        dataset: str = WIKITEXT2,
        iepoch: int | None = None,
        hp: str = "12",
        account_time: bool = True,
    ) -> tuple[float, float, float, float]:
        """Train from scratch to an epoch, counted from 0 as in NATS-Bench; by default the last one.

        Returns:
            Negative validation loss in nats per word; latency, which was not measured, NaN; seconds of this
            training; seconds in all since `reset_time`.

        Raises:
            CellzooError: There is no such data set, architecture or epoch.
        """
        if dataset != WIKITEXT2:
            raise CellzooError(f"dataset is {dataset!r:.60}; epochs are known only for {WIKITEXT2}")
        index = self.query_index_by_arch(arch)
        if index < 0:
            raise CellzooError(f"the table has no epochs of the architecture {arch!r:.80}")
        run = self._runs[index]
        length = self.table.epochs(run)
        epoch = length - 1 if iepoch is None else iepoch
        if not 0 <= epoch < EPOCHS:
            raise CellzooError(f"iepoch is {iepoch}; expected 0 to {EPOCHS - 1}")
        row = filled(self.table, self.clock, run)[epoch]
        if account_time:
            self._used += float(row[2])
        return -float(row[0]), math.nan, float(row[2]), self._used


Compact = tuple[tuple[tuple[int, int], ...], tuple[int, ...], tuple[int, ...]]
"""NASLib's form of a recipe: edges, operations and next states, as numbers."""
_OPERATIONS = (
    "in",
    "activation_sigm",
    "activation_tanh",
    "activation_leaky_relu",
    "elementwise_sum",
    "elementwise_prod",
    "linear",
    "blend",
)
_SOURCES = ("x", "h_prev_0", "h_prev_1", "h_prev_2")


def naslib_dictionary(table: Table) -> dict[str, Any]:
    """`nlp_arches`, a list of recipes in NASLib's compact form, and `nlp_data`, their curves by that form.

    The first run of each recipe is used. `wall_times` are the seconds of single epochs, as in the logs. If two
    recipes have the same compact form, the curves of the first are kept.
    """
    data: dict[Compact, dict[str, Sequence[float]]] = {}
    for found in table.pool():
        run = table.runs(found)[0]
        data.setdefault(
            compact_form(json.loads(found.recipe)),
            {
                "train_losses": table.curve(run, "train"),
                "val_losses": table.curve(run, "valid"),
                "test_losses": table.curve(run, "test"),
                "wall_times": table.curve(run, "seconds"),
            },
        )
    return {"nlp_data": data, "nlp_arches": list(data)}


def compact_form(recipe: Mapping[str, Mapping[str, Any]]) -> Compact:
    """NASLib's compact form; the inputs of each node keep their order.

    Nodes are put in topological order: a node that reads a later one is moved to the end, until none does.
    """
    order = list(recipe)
    place = 0
    while place < len(order):
        known = {*_SOURCES, *order[:place]}
        if all(source in known for source in recipe[order[place]]["input"]):
            place += 1
        else:
            order.append(order.pop(place))
    number = {name: index for index, name in enumerate((*_SOURCES, *order))}
    edges = [(number[source], number[name]) for name in order for source in recipe[name]["input"]]
    operations = [0] * len(_SOURCES) + [_OPERATIONS.index(recipe[name]["op"]) for name in order]
    return tuple(edges), tuple(operations), tuple(number[name] for name in order if "h_new" in name)

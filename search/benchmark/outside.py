"""Scores of cells that were never trained, by a rule that is stated with the score.

`refuse`      raise an error.
`nearest`     the score of the recipe whose counts of Weisfeiler-Lehman words are nearest by cosine distance.
`surrogate`   the prediction of a forest fitted on all curves. Its error on held-out graphs is stated, and the
              noise between runs of one recipe, which is a lower bound of any model's error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cellzoo.errors import CellzooError, UnknownNameError, unknown
from cellzoo.system.extras import require
from cellzoo.system.lazy import lazy_property
from search.benchmark.logs import EPOCHS, WIKITEXT2
from search.benchmark.table import UNIT, Number, recipes_of
from search.benchmark.timing import fit_costs, work
from search.benchmark.words import count_words, vocabulary_of, words

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cellzoo.cells.cell import Cell
    from search.benchmark.clock import Clock
    from search.benchmark.table import Architecture, Table

REFUSE, NEAREST, SURROGATE = "refuse", "nearest", "surrogate"
RULES = (REFUSE, NEAREST, SURROGATE)
COUNTED = "counted"
_SPLITS = ("valid", "test")
_FOLDS = 10
_TREES = 60


class Outside:
    """Scores any cell: from the table if it has the graph, by the rule otherwise.

    Args:
        table: The table.
        clock: Gives the training times of its recipes; those of other cells are estimated from the graph, as
            by the clock `retimed`.
        rule: One of `RULES`.
        seed: Of the surrogate.

    Raises:
        UnknownNameError: There is no such rule.
    """

    def __init__(self, table: Table, clock: Clock, rule: str = REFUSE, seed: int = 0) -> None:
        if rule not in RULES:
            raise unknown("rule", rule[:80], RULES)
        self.table = table
        self.clock = clock
        self.rule = rule
        self.seed = seed

    def score(self, cell: Cell, *, split: str = "valid", epoch: int = EPOCHS) -> Number:
        """Score a cell; the number states its source.

        Raises:
            UnknownNameError: The table does not have the cell, and the rule is `refuse`.
            CellzooError: There is no such split or epoch, or the table has too few logs for the rule.
        """
        if self._has(cell):
            return self.table.score(cell, clock=self.clock, split=split, epoch=epoch)
        if self.rule == REFUSE:
            raise UnknownNameError(
                f"the table does not have the graph {cell.hash[:12]}; to estimate its scores, choose the rule "
                f"{NEAREST} or {SURROGATE}"
            )
        if self.rule == NEAREST:
            found, distance = self.nearest(cell)
            number = self.table.score(found, clock=self.clock, split=split, epoch=epoch)
            return number._replace(source=f"nearest: {found.number} at cosine distance {distance:.3f}")
        if split not in _SPLITS or not 1 <= epoch <= EPOCHS:
            raise CellzooError(f"the surrogate has valid and test losses of the epochs 1 to {EPOCHS}")
        value = self.surrogate.predict([cell])[0, _SPLITS.index(split), epoch - 1]
        cost = float(np.dot(work(cell), self._costs)) * epoch
        return Number(float(value), split, epoch, UNIT, WIKITEXT2, "", cost, COUNTED, self.surrogate.note)

    def nearest(self, cell: Cell) -> tuple[Architecture, float]:
        """The recipe with the nearest counts of words, and the cosine distance to it.

        Raises:
            CellzooError: The table has no recipe with known epochs.
        """
        places, counted, norms = self._counted
        if not places:
            raise CellzooError(f"the table has no log on {WIKITEXT2}, so there is no nearest recipe")
        own = words(cell)
        size = math.sqrt(sum(count * count for count in own.values()))
        likeness = [
            sum(count * other[word] for word, count in own.items()) / (norm * size)
            for other, norm in zip(counted, norms, strict=True)
        ]
        best = max(range(len(places)), key=lambda place: (round(likeness[place], 12), -place))
        return self.table.architectures[places[best]], 1.0 - likeness[best]

    @lazy_property
    def surrogate(self) -> Surrogate:
        """Fitted on all recipes with known graphs and a run that did not diverge."""
        return fit_surrogate(self.table, self.seed)

    @lazy_property
    def _counted(self) -> tuple[list[int], list[Counter[str]], list[float]]:
        cells = recipes_of(self.table.pool())
        counted = [words(cell) for cell in cells.values()]
        norms = [math.sqrt(sum(count * count for count in one.values())) for one in counted]
        return list(cells), counted, norms

    @lazy_property
    def _costs(self) -> NDArray[np.float64]:
        return fit_costs(self.table)[0]

    def _has(self, cell: Cell) -> bool:
        return any(self.table.runs(found) for found in self.table.of_graph(cell.hash))


@dataclass(frozen=True)
class Surrogate:
    """A forest that predicts learning curves from counts of words.

    Attributes:
        model: Of scikit-learn.
        vocabulary: The words that are counted.
        error: Root mean square error of the validation loss after the last epoch on held-out graphs.
        tau: Kendall's tau of the same.
        noise: Standard deviation of that loss between runs of one graph; NaN if no graph has two runs.
        recipes: How many it was fitted on.
    """

    model: Any
    vocabulary: tuple[str, ...]
    error: float
    tau: float
    noise: float
    recipes: int

    @property
    def note(self) -> str:
        """A description of its accuracy, which is stated with every prediction."""
        note = (
            f"surrogate: fitted on {self.recipes} recipes; on held-out graphs its error after {EPOCHS} epochs "
            f"is {self.error:.3f} {UNIT} (root mean square), Kendall's tau {self.tau:.2f}"
        )
        if math.isnan(self.noise):
            return note
        return f"{note}; runs of one graph differ by {self.noise:.3f} (standard deviation)"

    def predict(self, cells: Sequence[Cell]) -> NDArray[np.float64]:
        """Predict curves, (cells, splits valid and test, epochs)."""
        values = self.model.predict(design_of(cells, self.vocabulary))
        return np.asarray(values).reshape(len(cells), len(_SPLITS), EPOCHS)


def fit_surrogate(table: Table, seed: int = 0) -> Surrogate:
    """Fit a forest on all curves, and measure its error by cross-validation over graphs.

    Raises:
        CellzooError: Fewer than two graphs have a log with enough epochs.
        MissingDependencyError: scikit-learn is not installed.
    """
    from scipy.stats import kendalltau

    cells, curves, graphs = training_curves(table)
    if len(set(graphs)) < 2:
        what = "only one graph of the table has a log" if cells else "no log of the table has"
        raise CellzooError(
            f"{what} {'of ' if cells else ''}{EPOCHS} epochs, so no surrogate can be fitted; "
            f"build the table with the published logs, or take the rule {NEAREST}"
        )
    vocabulary = vocabulary_of(map(words, cells), at_least=3)
    design = design_of(cells, vocabulary)
    last = curves[:, EPOCHS - 1]
    held_out = held_out_predictions(lambda: forest(seed), design, last, graphs)
    model = forest(seed).fit(design, curves)
    return Surrogate(
        model,
        vocabulary,
        float(np.sqrt(np.mean((held_out - last) ** 2))),
        float(kendalltau(held_out, last).statistic),
        seed_noise(table),
        len(cells),
    )


def training_curves(table: Table) -> tuple[list[Cell], NDArray[np.float64], list[str]]:
    """Collect the learning curves of all recipes that have a complete run.

    Returns:
        Cells, their curves averaged over the runs that did not diverge, (cells, 2 * `EPOCHS`), and the hashes
        of their graphs.
    """
    cells, curves, graphs = [], [], []
    for place, cell in recipes_of(table.pool()).items():
        runs = [
            run
            for run in table.runs(table.architectures[place])
            if not table.diverged(run) and table.epochs(run) >= EPOCHS
        ]
        if runs:
            parts = [[table.curve(run, split)[:EPOCHS] for split in _SPLITS] for run in runs]
            curves.append(np.mean(parts, axis=0).reshape(-1))
            cells.append(cell)
            graphs.append(cell.hash)
    return cells, np.array(curves), graphs


def held_out_predictions(
    make: Any, design: NDArray[np.float64], target: NDArray[np.float64], groups: Sequence[str]
) -> NDArray[np.float64]:
    """Predict each row with a model that was not fitted on its group: cross-validation in up to ten folds."""
    from sklearn.model_selection import GroupKFold

    found = np.zeros_like(target)
    for fitted, left in GroupKFold(min(_FOLDS, len(set(groups)))).split(design, target, groups):
        found[left] = make().fit(design[fitted], target[fitted]).predict(design[left])
    return found


def seed_noise(table: Table) -> float:
    """Pooled standard deviation of the last validation loss between runs of one graph; NaN if none has two."""
    by_graph: dict[str, list[float]] = {}
    for found in table.pool():
        for run in table.runs(found):
            if not table.diverged(run) and found.hash:
                by_graph.setdefault(found.hash, []).append(table.curve(run, "valid")[-1])
    several = [values for values in by_graph.values() if len(values) > 1]
    freedom = sum(len(values) - 1 for values in several)
    if not freedom:
        return math.nan
    return math.sqrt(sum(float(np.var(values)) * len(values) for values in several) / freedom)


def design_of(cells: Sequence[Cell], vocabulary: Sequence[str]) -> NDArray[np.float64]:
    """The features of cells: counts of words, then `work`, (cells, words + 4)."""
    return np.hstack([count_words(cells, vocabulary), [work(cell) for cell in cells]])


def forest(seed: int) -> Any:
    """Make a forest that is not fitted yet.

    Raises:
        MissingDependencyError: scikit-learn is not installed.
    """
    require("sklearn", "nlp")
    from sklearn.ensemble import ExtraTreesRegressor

    return ExtraTreesRegressor(_TREES, min_samples_leaf=2, max_features=0.5, random_state=seed)

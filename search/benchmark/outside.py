"""Answers for cells that were never trained, by a rule that the answer names.

`refuse`      there is no answer.
`nearest`     that of the recipe whose counts of Weisfeiler-Lehman words are nearest by cosine.
`surrogate`   a forest fitted on all curves, with the error that it has on graphs it was not fitted on, beside
              the noise between runs of one recipe, below which no error can be expected to go.
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
    """Scores any cell: from the table where it has the graph, by the rule where not.

    Args:
        table: The table.
        clock: What trainings of its recipes cost; those of other cells are counted from the graph, as
        `retimed`.
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
        """A number with its source.

        Raises:
            UnknownNameError: The table does not have the cell, and the rule is to refuse.
            CellzooError: There is no such split or epoch.
        """
        if self._has(cell):
            return self.table.score(cell, clock=self.clock, split=split, epoch=epoch)
        if self.rule == REFUSE:
            raise UnknownNameError(
                f"the table does not have the graph {cell.hash[:12]}; it answers for others by the rule "
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
        """The recipe with the nearest counts of words, and the cosine distance to it."""
        places, counted, norms = self._counted
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
        """Fitted on all recipes with known graphs that ended well."""
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
    """A forest from counts of words to curves.

    Attributes:
        model: Of scikit-learn.
        vocabulary: The words that are counted.
        error: Root mean square error of the validation loss after the last epoch on graphs held out.
        tau: Kendall's tau of the same.
        noise: Standard deviation of that loss between runs of one graph.
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
        """What belongs to every number that it gives."""
        return (
            f"surrogate: fitted on {self.recipes} recipes; on held-out graphs its error after {EPOCHS} epochs "
            f"is {self.error:.3f} {UNIT} (root mean square), Kendall's tau {self.tau:.2f}; "
            f"runs of one graph differ by {self.noise:.3f} (standard deviation)"
        )

    def predict(self, cells: Sequence[Cell]) -> NDArray[np.float64]:
        """Curves, (cells, splits valid and test, epochs)."""
        values = self.model.predict(design_of(cells, self.vocabulary))
        return np.asarray(values).reshape(len(cells), len(_SPLITS), EPOCHS)


def fit_surrogate(table: Table, seed: int = 0) -> Surrogate:
    """Fit a forest on all curves, and find its error by folds in which no graph is on both sides.

    Raises:
        CellzooError: No log has enough epochs to fit one on.
        MissingDependencyError: scikit-learn is not installed.
    """
    from scipy.stats import kendalltau

    cells, curves, graphs = training_curves(table)
    if not cells:
        raise CellzooError(
            f"no log of the table has {EPOCHS} epochs, so no surrogate can be fitted; "
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
    """Cells, their curves averaged over runs that ended well, (cells, 2 * `EPOCHS`), and their graphs."""
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
    """What models say of rows whose group they were not fitted on, in ten folds."""
    from sklearn.model_selection import GroupKFold

    found = np.zeros_like(target)
    for fitted, left in GroupKFold(min(_FOLDS, len(set(groups)))).split(design, target, groups):
        found[left] = make().fit(design[fitted], target[fitted]).predict(design[left])
    return found


def seed_noise(table: Table) -> float:
    """Pooled standard deviation of the last validation loss between runs of one graph, if any has two."""
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
    """What models read of cells: counts of words, and what a step computes, (cells, words + 4)."""
    return np.hstack([count_words(cells, vocabulary), [work(cell) for cell in cells]])


def forest(seed: int) -> Any:
    """A forest that is not fitted yet.

    Raises:
        MissingDependencyError: scikit-learn is not installed.
    """
    require("sklearn", "nlp")
    from sklearn.ensemble import ExtraTreesRegressor

    return ExtraTreesRegressor(_TREES, min_samples_leaf=2, max_features=0.5, random_state=seed)

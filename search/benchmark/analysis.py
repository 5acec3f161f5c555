"""Analysis of the space from the table (Klyuchnikov et al. 2020, section 4).

Rank correlations are Kendall's tau with 95 % percentile intervals over 1,000 bootstrap samples of recipes;
all scores of models are on held-out recipes.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from itertools import starmap
from typing import TYPE_CHECKING, Any

import numpy as np

from cellzoo.errors import CellzooError
from cellzoo.system.extras import require
from search.benchmark.edit_distance import labelled_graph, lower_bound, upper_bound
from search.benchmark.logs import EPOCHS, PTB
from search.benchmark.outside import design_of, forest, held_out_predictions, seed_noise
from search.benchmark.outside import training_curves as curves_of
from search.benchmark.table import recipes_of
from search.benchmark.words import vocabulary_of, words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from search.benchmark.table import Architecture, Table

EARLY = (1, 5, 10, 25, 49)
SAMPLES = 1000
PAIRS = 500
_FOLDS, _REPEATS = 10, 3


@dataclass(frozen=True)
class Correlation:
    """Kendall's tau.

    Attributes:
        tau: Over all recipes.
        low: End of its 95 % interval.
        high: End of its 95 % interval.
        count: Recipes.
    """

    tau: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class HeldOut:
    """Scores of a model on recipes that it was not fitted on.

    Attributes:
        what: What is predicted, and from which features.
        count: Recipes.
        scores: Name of a score -> mean and standard deviation over repetitions of the folds.
    """

    what: str
    count: int
    scores: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Analysis:
    """All results.

    Attributes:
        parameters: Of the model on WikiText-2, (recipes,).
        hours: Of a complete training, mean over runs, (recipes,).
        perplexity: Exponential of the test loss after the last epoch, mean over runs, (recipes,).
        numbers: Of these recipes.
        of_parameters: Parameters against test loss.
        of_hours: Hours against test loss.
        early: Epoch -> validation loss after it against test loss after the last.
        ptb: Loss on Penn Treebank and smallest loss on WikiText-2 of each recipe, (recipes, 2).
        transfer: Their correlation over recipes with a finite loss on both.
        transfer_ended_well: The same, without runs on WikiText-2 that diverged later.
        noise: Standard deviation of the last validation loss between runs of one graph; NaN if none has two.
        bounds: Lower and upper bounds of the edit distance, and the difference of losses, of pairs, (pairs, 3).
        of_distance: Upper bound against the difference of losses.
        models: Scores on held-out recipes, of the models for which there are enough recipes.
        diverging: Recipes on Penn Treebank whose runs all diverged, and all recipes with features.
    """

    parameters: NDArray[np.float64]
    hours: NDArray[np.float64]
    perplexity: NDArray[np.float64]
    numbers: tuple[int, ...]
    of_parameters: Correlation
    of_hours: Correlation
    early: dict[int, Correlation]
    ptb: NDArray[np.float64]
    transfer: Correlation
    transfer_ended_well: Correlation
    noise: float
    bounds: NDArray[np.float64]
    of_distance: Correlation
    models: tuple[HeldOut, ...]
    diverging: tuple[int, int]


def analyse(table: Table, seed: int = 0) -> Analysis:
    """Analyse the space.

    Args:
        table: The table.
        seed: Of bootstrap samples, pairs, folds and models.

    Raises:
        CellzooError: No log of the table has all epochs.
        MissingDependencyError: scikit-learn is not installed.
    """
    require("sklearn", "nlp")
    pool = [found for found in table.pool() if _whole_runs(table, found)]
    if not pool:
        raise CellzooError(
            f"no log of the table has {EPOCHS} epochs, so there is nothing to analyse; build the table with "
            "the published logs of WikiText-2"
        )
    runs = [_whole_runs(table, found) for found in pool]
    test = np.array([np.mean([table.curve(run, "test")[-1] for run in some]) for some in runs])
    parameters = np.array([float(table.parameters(some[0])) for some in runs])
    hours = np.array([np.mean([sum(table.curve(run, "seconds")) for run in some]) / 3600 for some in runs])
    early = {
        epoch: correlation(
            [float(np.mean([table.curve(run, "valid")[epoch - 1] for run in some])) for some in runs],
            test,
            seed,
        )
        for epoch in EARLY
    }
    transferred = _transfer(table, ended_well=False)
    well = _transfer(table, ended_well=True)
    bounds = _bounds(table, pool, test, seed)
    featured = _featured(table)
    return Analysis(
        parameters=parameters,
        hours=hours,
        perplexity=np.exp(test),
        numbers=tuple(found.number for found in pool),
        of_parameters=correlation(parameters, test, seed),
        of_hours=correlation(hours, test, seed),
        early=early,
        ptb=transferred,
        transfer=correlation(transferred[:, 0], transferred[:, 1], seed),
        transfer_ended_well=correlation(well[:, 0], well[:, 1], seed),
        noise=seed_noise(table),
        bounds=bounds,
        of_distance=correlation(bounds[:, 1], bounds[:, 2], seed),
        models=tuple(_models(table, featured, seed)),
        diverging=(sum(math.isnan(loss) for _, loss, _ in featured), len(featured)),
    )


def correlation(first: Sequence[float] | NDArray[Any], second: Any, seed: int = 0) -> Correlation:
    """Kendall's tau with a percentile interval; NaN for fewer than three pairs, or if one side is constant."""
    from scipy.stats import kendalltau

    one, other = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    tau = float(kendalltau(one, other).statistic) if len(one) >= 3 else math.nan
    if math.isnan(tau):
        return Correlation(math.nan, math.nan, math.nan, len(one))
    draw = np.random.default_rng(seed)
    taus = []
    for _ in range(SAMPLES):
        rows = draw.integers(len(one), size=len(one))
        taus.append(kendalltau(one[rows], other[rows]).statistic)
    low, high = np.nanquantile(taus, (0.025, 0.975))
    return Correlation(tau, float(low), float(high), len(one))


def _whole_runs(table: Table, architecture: Architecture) -> list[int]:
    return [run for run in table.runs(architecture) if not table.diverged(run) and table.epochs(run) >= EPOCHS]


def _transfer(table: Table, *, ended_well: bool) -> NDArray[np.float64]:
    """Mean loss on Penn Treebank and mean of the smallest test losses on WikiText-2, (recipes with both, 2)."""
    rows = []
    for found in table.pool():
        of_ptb = [
            loss
            for run in table.runs(found, PTB)
            if math.isfinite(loss := float(table.arrays["final_test"][run]))
        ]
        of_wikitext2 = []
        for run in table.runs(found):
            losses = [loss for loss in table.curve(run, "test") if math.isfinite(loss)]
            if losses and not (ended_well and table.diverged(run)):
                of_wikitext2.append(min(losses))
        if of_ptb and of_wikitext2:
            rows.append((np.mean(of_ptb), np.mean(of_wikitext2)))
    return np.array(rows).reshape(-1, 2)


def _bounds(
    table: Table, pool: Sequence[Architecture], test: NDArray[np.float64], seed: int
) -> NDArray[np.float64]:
    """Bounds of the edit distance of random pairs, and the difference of their losses, (pairs, 3)."""
    cells = recipes_of(pool)
    graphs = {place: labelled_graph(cell) for place, cell in cells.items()}
    losses = {found.index: loss for found, loss in zip(pool, test.tolist(), strict=True)}
    draw = random.Random(seed)  # noqa: S311 - a seed
    known = [found.index for found in pool if found.index in graphs]
    if len(known) < 2:
        return np.zeros((0, 3))
    pairs = [draw.sample(known, 2) for _ in range(PAIRS)]
    both = [(graphs[one], graphs[other]) for one, other in pairs]
    apart = [abs(losses[one] - losses[other]) for one, other in pairs]
    return np.column_stack([list(starmap(lower_bound, both)), list(starmap(upper_bound, both)), apart])


def _featured(table: Table) -> list[tuple[NDArray[np.float64], float, float]]:
    """Collect the recipes with released features and runs on Penn Treebank.

    Returns:
        For each: features and millions of parameters as one vector, mean finite loss (NaN if all runs
        diverged), and parameters.
    """
    rows = []
    for found in table.architectures:
        vector, runs = table.features(found), table.runs(found, PTB)
        if vector is None or not runs:
            continue
        losses = [float(table.arrays["final_test"][run]) for run in runs]
        finite = [loss for loss in losses if math.isfinite(loss)]
        parameters = float(table.parameters(runs[0]))
        design = np.append(vector, parameters / 1e6)
        rows.append((design, float(np.mean(finite)) if finite else math.nan, parameters))
    return rows


def _models(
    table: Table, featured: Sequence[tuple[NDArray[np.float64], float, float]], seed: int
) -> list[HeldOut]:
    from scipy.stats import kendalltau, spearmanr

    found = []
    if featured:
        design = np.array([row for row, _, _ in featured])
        loss = np.array([value for _, value, _ in featured])
        finite = np.isfinite(loss)
        # Each fold needs recipes of both classes.
        if min(int(finite.sum()), int((~finite).sum())) >= _FOLDS:
            found.append(_classifier(design, ~finite, seed))
        if int(finite.sum()) > _FOLDS:
            found.append(_regressor(design[finite], loss[finite], seed))
    cells, curves, graphs = curves_of(table)
    if len(set(graphs)) > _FOLDS:
        last = curves[:, EPOCHS - 1]
        words_known = vocabulary_of(map(words, cells), at_least=3)
        design = design_of(cells, words_known)
        scores: dict[str, list[float]] = {"Kendall's tau": [], "Spearman's rho": [], "error": []}
        for repeat in range(_REPEATS):
            told = held_out_predictions(lambda repeat=repeat: forest(seed + repeat), design, last, graphs)
            scores["Kendall's tau"].append(float(kendalltau(told, last).statistic))
            scores["Spearman's rho"].append(float(spearmanr(told, last).statistic))
            scores["error"].append(float(np.sqrt(np.mean((told - last) ** 2))))
        what = "validation loss on WikiText-2 from words of the graph (forest; no graph in both parts)"
        found.append(HeldOut(what, len(cells), _spread(scores)))
    return found


def _classifier(design: NDArray[np.float64], diverges: NDArray[np.bool_], seed: int) -> HeldOut:
    """Predict which recipes diverge on Penn Treebank."""
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.metrics import average_precision_score, balanced_accuracy_score, roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    scores: dict[str, list[float]] = {"ROC AUC": [], "average precision": [], "balanced accuracy": []}
    for repeat in range(_REPEATS):
        told = np.zeros(len(design))
        folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed + repeat)
        for fitted, left in folds.split(design, diverges):
            model = ExtraTreesClassifier(
                200, min_samples_leaf=2, class_weight="balanced", random_state=seed + repeat
            )
            told[left] = model.fit(design[fitted], diverges[fitted]).predict_proba(design[left])[:, 1]
        scores["ROC AUC"].append(float(roc_auc_score(diverges, told)))
        scores["average precision"].append(float(average_precision_score(diverges, told)))
        scores["balanced accuracy"].append(float(balanced_accuracy_score(diverges, told > 0.5)))
    share = float(diverges.mean())
    what = (
        f"whether all runs on Penn Treebank diverge ({share:.1%} do; that is the average precision of chance) "
        "from the released features and the number of parameters (forest)"
    )
    return HeldOut(what, len(design), _spread(scores))


def _regressor(design: NDArray[np.float64], loss: NDArray[np.float64], seed: int) -> HeldOut:
    """Predict the test loss on Penn Treebank."""
    from scipy.stats import kendalltau, spearmanr
    from sklearn.model_selection import KFold

    scores: dict[str, list[float]] = {"Kendall's tau": [], "Spearman's rho": [], "R²": []}
    for repeat in range(_REPEATS):
        told = np.zeros(len(design))
        for fitted, left in KFold(_FOLDS, shuffle=True, random_state=seed + repeat).split(design):
            told[left] = forest(seed + repeat).fit(design[fitted], loss[fitted]).predict(design[left])
        scores["Kendall's tau"].append(float(kendalltau(told, loss).statistic))
        scores["Spearman's rho"].append(float(spearmanr(told, loss).statistic))
        scores["R²"].append(float(1 - np.sum((told - loss) ** 2) / np.sum((loss - loss.mean()) ** 2)))
    what = "test loss on Penn Treebank from the released features and the number of parameters (forest)"
    return HeldOut(what, len(design), _spread(scores))


def _spread(scores: dict[str, list[float]]) -> dict[str, tuple[float, float]]:
    return {name: (float(np.mean(values)), float(np.std(values, ddof=1))) for name, values in scores.items()}

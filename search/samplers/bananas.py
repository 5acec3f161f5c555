"""BANANAS: an ensemble of networks over the words of graphs ranks mutants of the best cells.

White et al. 2021, "BANANAS: Bayesian Optimization with Neural Architectures for Neural Architecture Search":
mutants of the best cells are ranked by independent Thompson sampling from the ensemble's predictions. The words
of the graph replace the paper's path encoding, because recurrent graphs have no paths from input to output.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from cellzoo.errors import CellzooError
from cellzoo.system.extras import require
from search.features.one_thread import one_thread
from search.features.words import graph_words
from search.samplers.kind import SamplerKind
from search.samplers.sampler import Proposal
from search.samplers.settings import SamplerSettings
from tasks.settings import Size

if TYPE_CHECKING:
    import random

    from cellzoo.cells.cell import Cell
    from search.spaces.space import Space

_TRIES = 20
_WORD_ROUNDS = 2


class BananasSettings(SamplerSettings):
    """Settings of `bananas`; see `SamplerSettings` for the others.

    Attributes:
        initial: Random cells that are evaluated first.
        models: Networks of the ensemble.
        width: Of their two hidden layers.
        parents: Number of best cells that are mutated.
        candidates: Mutants that are ranked for each proposal, together with half as many random cells.
        refit: Number of new scores after which the ensemble is trained again.
    """

    initial: Size = 10
    models: Size = 5
    width: Size = 20
    parents: Size = 10
    candidates: Size = 50
    refit: Size = 5


class Bananas:
    """A `Sampler`; no graph is proposed twice.

    Args:
        settings: The settings.
        space: Draws and mutates.
        generator: The source of all random numbers.

    Raises:
        MissingDependencyError: scikit-learn is not installed.
    """

    def __init__(self, settings: BananasSettings, space: Space[Any], generator: random.Random) -> None:
        require("sklearn", "search")
        self.settings, self.space, self.generator = settings, space, generator
        self.words: dict[int, str] = {}
        self.seen: set[str] = set()
        self._known_words: dict[str, str] = {}
        self.told: list[tuple[float, int, Any]] = []
        self.model: Any = None
        self.learned = 0

    def ask(self) -> Proposal | None:
        """See `Sampler`.

        Raises:
            CellzooError: No new graph was found.
        """
        number = len(self.words)
        if number == self.settings.trials:
            return None
        good = sorted((one for one in self.told if one[0] < math.inf), key=lambda one: one[:2])
        if len(self.told) < self.settings.initial or len(good) < 2:
            found = self._new([None], 1)
        else:
            parents = [genotype for _, _, genotype in good[: self.settings.parents]]
            found = self._new(parents, self.settings.candidates) + self._new(
                [None], self.settings.candidates // 2
            )
        if not found:
            raise CellzooError(
                "no graph was found that was not proposed before, by mutation or by random draws"
            )
        with one_thread():
            place = self._best([self._words(cell) for _, cell in found]) if len(found) > 1 else 0
        genotype, cell = found[place]
        self.words[number] = self._words(cell)
        self.seen.add(cell.hash)
        return Proposal(number, genotype, self.settings.epochs)

    def tell(self, proposal: Proposal, score: float | None) -> None:
        """See `Sampler`."""
        self.told.append((math.inf if score is None else score, proposal.number, proposal.genotype))

    def _new(self, parents: list[Any], count: int) -> list[tuple[Any, Cell]]:
        """Make mutants of each parent in turn, or random cells where the parent is None; each graph once."""
        found: dict[str, tuple[Any, Cell]] = {}
        for attempt in range(_TRIES * count):
            parent = parents[attempt % len(parents)]
            sample, mutate = self.space.sample, self.space.mutate
            genotype = sample(self.generator) if parent is None else mutate(parent, self.generator)
            cell = self.space.to_cell(genotype)
            if cell.hash not in self.seen and cell.hash not in found:
                found[cell.hash] = (genotype, cell)
                if len(found) == count:
                    break
        return list(found.values())

    def _words(self, cell: Cell) -> str:
        """The words of a graph, cached: they take most of the time, and the same mutants occur repeatedly."""
        if cell.hash not in self._known_words:
            self._known_words[cell.hash] = " ".join(graph_words(cell, _WORD_ROUNDS))
        return self._known_words[cell.hash]

    def _best(self, words: list[str]) -> int:
        """The index of the candidate with the smallest sample from its predicted normal distribution."""
        if self.model is None or len(self.told) - self.learned >= self.settings.refit:
            self.model, self.learned = self._fit(), len(self.told)
        counter, networks = self.model
        counts = counter.transform(words).toarray()
        guesses = np.stack([network.predict(counts) for network in networks])  # (models, candidates)
        draws = np.random.default_rng(self.generator.getrandbits(32)).standard_normal(len(words))
        return int((guesses.mean(axis=0) + guesses.std(axis=0) * draws).argmin())

    def _fit(self) -> Any:
        from scipy.stats import norm, rankdata
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.feature_extraction.text import CountVectorizer
        from sklearn.neural_network import MLPRegressor

        counter = CountVectorizer(analyzer=str.split, binary=True)
        counts = counter.fit_transform([self.words[number] for _, number, _ in self.told]).toarray()
        ranks = rankdata([score for score, _, _ in self.told])
        values = norm.ppf((ranks - 0.5) / len(ranks))
        networks = []
        with warnings.catch_warnings():
            # Networks that are not trained to convergence make a more diverse ensemble.
            warnings.simplefilter("ignore", ConvergenceWarning)
            for _ in range(self.settings.models):
                network = MLPRegressor(
                    hidden_layer_sizes=(self.settings.width,) * 2,
                    max_iter=100,
                    random_state=self.generator.getrandbits(31),
                )
                networks.append(network.fit(counts, values))
        return counter, networks


SAMPLER = SamplerKind(
    "bananas",
    "mutants of the best cells, by an ensemble of networks over words of graphs (White et al. 2021)",
    settings=BananasSettings,
    build=Bananas,
)

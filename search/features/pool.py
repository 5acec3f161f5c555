"""A pool of cells with feature vectors, for samplers that need numeric features.

Such a sampler proposes the cell of the pool with the best prediction, or the cell nearest to a point that a
library proposes, as in the paper of NAS-Bench-NLP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from cellzoo.errors import CellzooError
from search.features.one_thread import one_thread
from search.features.vectors import GraphVectors
from search.samplers.sampler import Proposal
from search.samplers.settings import SamplerSettings
from tasks.settings import Size

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from numpy.typing import NDArray

    from cellzoo.cells.cell import Cell
    from search.spaces.space import Space

    Choose: TypeAlias = Callable[[NDArray[np.float64], NDArray[np.float64]], int]
    """Takes the vectors of the evaluated cells and their values; returns the index of a cell of the pool."""

_FRUITLESS = 200


class PoolSettings(SamplerSettings):
    """Settings of a sampler that chooses from a pool; see `SamplerSettings` for the others.

    Attributes:
        pool: Cells with different graphs that are drawn at the start; fewer if the space has no more.
        initial: Random cells of the pool that are evaluated before the first model is fitted.
        dimensions: Of the vectors.
        refit: Number of new scores after which the model is fitted again.
    """

    pool: Size = 500
    initial: Size = 10
    dimensions: Size = 10
    refit: Size = 1


class Pool:
    """Cells with their vectors and scores.

    A space may have a method `features(genotypes, dimensions)` that gives the vectors, such as the published
    ones of a table; otherwise they are learned from the graphs of the pool, without scores.

    Args:
        settings: The settings.
        space: Gives the cells.
        generator: Draws them.
    """

    def __init__(self, settings: PoolSettings, space: Space[Any], generator: random.Random) -> None:
        self.settings, self.generator = settings, generator
        cells: dict[str, tuple[Any, Cell]] = {}
        fruitless = 0
        while len(cells) < settings.pool and fruitless < _FRUITLESS:
            genotype = space.sample(generator)
            cell = space.to_cell(genotype)
            fruitless = fruitless + 1 if cell.hash in cells else 0
            cells.setdefault(cell.hash, (genotype, cell))
        self.genotypes = [genotype for genotype, _ in cells.values()]
        own = getattr(space, "features", None)
        seed = generator.getrandbits(31)
        if own is not None:
            vectors = np.asarray(own(self.genotypes, settings.dimensions), dtype=np.float64)
        else:
            vectors = GraphVectors([cell for _, cell in cells.values()], settings.dimensions, seed).learned()
        spread = vectors.std(axis=0)
        self.vectors: NDArray[np.float64] = (vectors - vectors.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
        self.free = list(range(len(self.genotypes)))
        self.places: list[int] = []
        self.scores: dict[int, float | None] = {}

    def ask(self, choose: Choose) -> Proposal | None:
        """Propose the next cell, as `Sampler.ask`: random cells at first, then those that `choose` selects.

        Args:
            choose: Returns the index of a free cell; is called once enough scores are known.

        Raises:
            CellzooError: All cells of the pool were proposed.
        """
        if len(self.places) == self.settings.trials:
            return None
        if not self._is_known or not self.free:
            return self._propose()
        with one_thread():
            return self._propose(choose(*self._known()))

    @property
    def _is_known(self) -> bool:
        """Whether a model can be fitted: there are `initial` results, at least two of them finite scores."""
        known = [score for score in self.scores.values() if score is not None]
        return len(self.scores) >= self.settings.initial and len(known) > 1

    def _propose(self, place: int | None = None) -> Proposal:
        """Propose the cell of an index, or by default a random one.

        Raises:
            CellzooError: All of them were proposed.
        """
        if not self.free:
            more = "the setting pool makes it larger"
            if len(self.genotypes) < self.settings.pool:
                more = "no others were found in the space"
            raise CellzooError(f"all {len(self.genotypes)} cells of the pool were proposed; {more}")
        chosen = self.generator.choice(self.free) if place is None else place
        self.free.remove(chosen)
        self.places.append(chosen)
        return Proposal(len(self.places) - 1, self.genotypes[chosen], self.settings.epochs)

    def tell(self, proposal: Proposal, score: float | None) -> None:
        """Receive the score of a proposal."""
        self.scores[self.places[proposal.number]] = score

    def _known(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Vectors of the evaluated cells, and their scores as normal quantiles.

        Quantiles are used because the scores of cells that hardly learn differ by orders of magnitude. A cell
        that failed has the rank of the worst.
        """
        from scipy.stats import norm, rankdata

        places = list(self.scores)
        finite = [score for score in self.scores.values() if score is not None]
        worst = max(finite, default=0.0)
        values = [worst if self.scores[place] is None else self.scores[place] for place in places]
        ranks = rankdata(values)
        return self.vectors[places], np.asarray(norm.ppf((ranks - 0.5) / len(ranks)), dtype=np.float64)

    def nearest(self, point: NDArray[np.float64]) -> int:
        """The index of the free cell whose vector is nearest to a point; there must be one."""
        distances = np.linalg.norm(self.vectors[self.free] - point, axis=1)
        return self.free[int(distances.argmin())]

"""The recipes of the table that have logs, as a space for samplers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellzoo.errors import CellzooError
from cellzoo.notations import nas_bench_nlp
from cellzoo.system.lazy import lazy_property
from search.benchmark.logs import WIKITEXT2
from search.benchmark.table import Architecture, recipes_of
from search.benchmark.words import count_words

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cellzoo.cells.cell import Cell
    from search.benchmark.table import Table

HAND_DESIGNED = (1_000_000, 1_000_001, 1_000_002)
"""Numbers of the recipes RNN, LSTM and GRU; all others were drawn at random."""
NEIGHBOURS = 10


class PoolSpace:
    """A `Space` whose genotypes are the numbers of recipes.

    A mutation gives one of the nearest recipes by the cosine between counts of Weisfeiler-Lehman words; the
    authors' notebook takes the nearest by the cosine between graph2vec vectors.

    Args:
        table: The table.
        architectures: The recipes of the pool.
        neighbours: Number of nearest recipes that a mutation chooses from.

    Raises:
        CellzooError: Fewer than two, or the graph of one is not known.
    """

    def __init__(
        self, table: Table, architectures: Sequence[Architecture], neighbours: int = NEIGHBOURS
    ) -> None:
        if len(architectures) < 2:
            raise CellzooError(f"a pool of {len(architectures)} recipes: expected at least 2")
        cells = recipes_of(architectures)
        unknown = [found.number for found in architectures if found.index not in cells]
        if unknown:
            raise CellzooError(f"the graph of {unknown[0]} is not known, so it cannot be searched")
        self.table = table
        self.architectures = {found.number: found for found in architectures}
        self.numbers = tuple(self.architectures)
        self.neighbours = min(neighbours, len(self.numbers) - 1)
        self._cells = {number: cells[found.index] for number, found in self.architectures.items()}
        self._place = {number: place for place, number in enumerate(self.numbers)}

    def sample(self, generator: random.Random) -> int:
        """Draw a recipe uniformly."""
        return generator.choice(self.numbers)

    def mutate(self, genotype: int, generator: random.Random) -> int:
        """Draw one of the nearest recipes uniformly."""
        return self.numbers[generator.choice(self._nearest[self._place[genotype]])]

    def encode(self, genotype: int) -> tuple[int, ...]:
        """The counts of words, then the position in the pool, which distinguishes recipes with equal graphs."""
        return (*self._words[self._place[genotype]], self._place[genotype])

    def to_cell(self, genotype: int, name: str = "") -> Cell:
        """The cell."""
        if name:
            return nas_bench_nlp.parse(self.architectures[genotype].recipe, name)
        return self._cells[genotype]

    def features(self, genotypes: Sequence[int], dimensions: int) -> NDArray[np.float64]:
        """Feature vectors of recipes, (genotypes, dimensions).

        With 10 dimensions the released graph2vec features, if the table has any; a recipe without released
        features gets those of the nearest recipe that has them. Otherwise the leading principal components of
        the counts of words, weighted by how rare a word is.
        """
        places = [self._place[number] for number in genotypes]
        released = self._released
        if released is not None and released.shape[1] == dimensions:
            return released[places]
        components = self._components
        padding = np.zeros((len(components), max(0, dimensions - components.shape[1])))
        return np.hstack([components, padding])[places, :dimensions]

    @lazy_property
    def _released(self) -> NDArray[np.float64] | None:
        vectors = [self.table.features(found) for found in self.architectures.values()]
        known = [place for place, vector in enumerate(vectors) if vector is not None]
        if not known:
            return None
        nearest = [known[int(np.argmax(row[known]))] for row in np.round(self._likeness, 9)]
        filled = [vectors[nearest[place]] if vector is None else vector for place, vector in enumerate(vectors)]
        return np.array(filled)

    @lazy_property
    def _components(self) -> NDArray[np.float64]:
        having = (self._counts > 0).sum(axis=0)
        weighted = np.log1p(self._counts) * np.log(1 + len(self._counts) / having)
        left, sizes, _ = np.linalg.svd(weighted - weighted.mean(axis=0), full_matrices=False)
        # A component's sign is arbitrary, so it is fixed.
        signs = np.sign(left[np.abs(left).argmax(axis=0), np.arange(left.shape[1])])
        return np.asarray(left * sizes * signs, dtype=np.float64)

    @lazy_property
    def _counts(self) -> NDArray[np.float64]:
        return count_words([self._cells[number] for number in self.numbers])

    @lazy_property
    def _words(self) -> list[tuple[int, ...]]:
        return [tuple(map(int, row)) for row in self._counts]

    @lazy_property
    def _likeness(self) -> NDArray[np.float64]:
        """Cosines between counts of words, (recipes, recipes); -1 on the diagonal."""
        unit = self._counts / np.linalg.norm(self._counts, axis=1, keepdims=True)
        likeness = np.asarray(unit @ unit.T, dtype=np.float64)
        np.fill_diagonal(likeness, -1.0)
        return likeness

    @lazy_property
    def _nearest(self) -> list[list[int]]:
        # Rounding and a stable sort give the same neighbours on every machine.
        order = np.argsort(-np.round(self._likeness, 9), axis=1, kind="stable")
        return [row[: self.neighbours].tolist() for row in order]


def searchable(table: Table, *, hand_designed: bool = True, data: str = WIKITEXT2) -> PoolSpace:
    """The space of all recipes of a data set with logs and known graphs.

    Args:
        table: The table.
        hand_designed: Whether RNN, LSTM and GRU are in it.
        data: The data set.

    Raises:
        CellzooError: There are fewer than two.
    """
    found = [
        one for one in table.pool(data) if one.recipe and (hand_designed or one.number not in HAND_DESIGNED)
    ]
    return PoolSpace(table, found)

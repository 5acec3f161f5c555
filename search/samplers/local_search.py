"""Local search: moves to the first better neighbour of a cell, and restarts at a random cell if there is none.

White et al. 2020, "Local Search is State of the Art for Neural Architecture Search Benchmarks"; the neighbours
of a cell are its mutants.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from cellzoo.errors import CellzooError
from search.samplers.kind import SamplerKind
from search.samplers.sampler import Proposal
from search.samplers.settings import SamplerSettings
from tasks.settings import Size

if TYPE_CHECKING:
    import random

    from search.spaces.space import Space

_TRIES = 100


class LocalSettings(SamplerSettings):
    """Settings of `local-search`; see `SamplerSettings` for the others.

    Attributes:
        neighbours: Neighbours of a cell that are evaluated before it counts as a local optimum.
    """

    neighbours: Size = 20


class LocalSearch:
    """A `Sampler`; no genotype is proposed twice.

    Args:
        settings: The settings.
        space: Draws and mutates.
        generator: The source of all random numbers.
    """

    def __init__(self, settings: LocalSettings, space: Space[Any], generator: random.Random) -> None:
        self.settings, self.space, self.generator = settings, space, generator
        self.asked = 0
        self.seen: set[tuple[int, ...]] = set()
        self.here: tuple[float, Any] | None = None
        self.left = 0
        self.climb = 0
        self.climbs: dict[int, int] = {}

    def ask(self) -> Proposal | None:
        """See `Sampler`.

        Raises:
            CellzooError: No new cell was found.
        """
        if self.asked == self.settings.trials:
            return None
        genotype = None
        if self.here is not None and self.left > 0:
            genotype = self._new(lambda: self.space.mutate(self.here[1], self.generator))
            self.left -= 1
        if genotype is None:
            if self.here is not None:
                self.here = None
                self.climb += 1
            genotype = self._new(lambda: self.space.sample(self.generator))
        if genotype is None:
            raise CellzooError(f"{_TRIES} draws gave no cell that was not proposed before")
        self.asked += 1
        self.climbs[self.asked - 1] = self.climb
        return Proposal(self.asked - 1, genotype, self.settings.epochs)

    def tell(self, proposal: Proposal, score: float | None) -> None:
        """See `Sampler`; a better cell of the current climb becomes the current cell."""
        is_of_this_climb = self.climbs.pop(proposal.number) == self.climb
        best = math.inf if self.here is None else self.here[0]
        if is_of_this_climb and score is not None and score < best:
            self.here = (score, proposal.genotype)
            self.left = self.settings.neighbours

    def _new(self, draw: Any) -> Any:
        for _ in range(_TRIES):
            genotype = draw()
            code = self.space.encode(genotype)
            if code not in self.seen:
                self.seen.add(code)
                return genotype
        return None


SAMPLER = SamplerKind(
    "local-search",
    "moves from a cell to its first better neighbour, with restarts (White et al. 2020)",
    settings=LocalSettings,
    build=LocalSearch,
)

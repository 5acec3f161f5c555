"""Regularised evolution: tournament selection of parents, and removal of the oldest (ageing).

Real et al. 2019, "Regularized Evolution for Image Classifier Architecture Search", algorithm 1. The result is
the best cell of the whole history, not of the last population.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Any

from cellzoo.errors import CellzooError
from search.samplers.kind import SamplerKind
from search.samplers.sampler import Proposal
from search.samplers.settings import SamplerSettings
from search.zero_cost.names import ScoreName
from tasks.settings import Size

if TYPE_CHECKING:
    import random

    from search.spaces.space import Space


class EvolutionSettings(SamplerSettings):
    """Settings of `evolution`; see `SamplerSettings` for the others.

    Attributes:
        population: P, size of the population; so many random cells are evaluated first, and count as trials.
        sample: S, cells that are drawn from the population with replacement; the best is the parent.
        start: Known cells of the space, such as `lstm` of `fenas`, that the first population begins with.
        warm_start: A zero-cost score (`search.zero_cost`): the rest of the first population are the best by
            this score of `warm_pool` random cells; None for random ones.
        warm_pool: Random cells that `warm_start` scores.
    """

    population: Size = 100
    sample: Size = 25
    start: tuple[str, ...] = ()
    warm_start: ScoreName | None = None
    warm_pool: Size = 500


class Evolution:
    """A `Sampler`.

    A cell that failed joins the population, too, and ranks behind all others. No child is proposed before the
    first population is evaluated.

    Args:
        settings: The settings.
        space: Draws the first population and mutates.
        generator: The source of all random numbers.

    Raises:
        CellzooError: The space has no such known cell.
    """

    def __init__(self, settings: EvolutionSettings, space: Space[Any], generator: random.Random) -> None:
        self.settings = settings
        self.space = space
        self.generator = generator
        self.asked = self.told = 0
        self.population: deque[tuple[float, Any]] = deque(maxlen=settings.population)
        self.start = [_member(space, name) for name in settings.start]
        if settings.warm_start is not None:
            from search.zero_cost.ranking import best_by_score

            ranked = best_by_score(space, generator, settings.warm_pool, settings.warm_start)
            self.start += ranked[: max(0, settings.population - len(self.start))]

    def ask(self) -> Proposal | None:
        """See `Sampler`."""
        if self.asked == self.settings.trials:
            return None
        if self.asked < len(self.start):
            genotype = self.start[self.asked]
        elif self.asked < self.settings.population:
            genotype = self.space.sample(self.generator)
        elif self.told < self.settings.population:
            return None
        else:
            drawn = self.generator.choices(self.population, k=self.settings.sample)
            parent = min(drawn, key=lambda member: member[0])[1]
            genotype = self.space.mutate(parent, self.generator)
        self.asked += 1
        return Proposal(self.asked - 1, genotype, self.settings.epochs)

    def tell(self, proposal: Proposal, score: float | None) -> None:
        """See `Sampler`; the oldest member of a full population is removed."""
        self.told += 1
        self.population.append((math.inf if score is None else score, proposal.genotype))


def _member(space: Space[Any], name: str) -> Any:
    find = getattr(space, "member", None)
    if find is None:
        raise CellzooError(f"start = {name!r}: only the space fenas has known cells to start from")
    return find(name)


SAMPLER = SamplerKind(
    "evolution",
    "regularised evolution, candidates trained from scratch (Real et al. 2019)",
    settings=EvolutionSettings,
    build=Evolution,
)

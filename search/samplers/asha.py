"""Asynchronous successive halving: cells are promoted to the next rung without waiting for the rung to end.

Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning" (ASHA), algorithm 2. The training of a
promoted cell continues from its checkpoint.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from search.samplers.hyperband import HyperbandSettings, rung_epochs, rungs_below
from search.samplers.kind import SamplerKind
from search.samplers.sampler import Proposal

if TYPE_CHECKING:
    import random

    from search.spaces.space import Space


class AsynchronousHalving:
    """A `Sampler`; each rung of a cell counts as a trial.

    Args:
        settings: The settings.
        space: Gives the cells.
        generator: The source of all random numbers.
    """

    def __init__(self, settings: HyperbandSettings, space: Space[Any], generator: random.Random) -> None:
        self.settings, self.space, self.generator = settings, space, generator
        self.top = rungs_below(settings.epochs, settings.eta)
        self.asked = 0
        self.rungs: dict[int, int] = {}
        self.results: list[list[tuple[float, int, Any]]] = [[] for _ in range(self.top + 1)]
        self.promoted: list[set[int]] = [set() for _ in range(self.top + 1)]

    def ask(self) -> Proposal | None:
        """See `Sampler`: the best promotable cell of the highest rung that has one, or else a new cell."""
        if self.asked == self.settings.trials:
            return None
        for rung in reversed(range(self.top)):
            best = sorted(self.results[rung], key=lambda result: result[:2])
            for score, number, genotype in best[: len(best) // self.settings.eta]:
                if number not in self.promoted[rung] and score < math.inf:
                    self.promoted[rung].add(number)
                    return self._propose(genotype, rung + 1)
        return self._propose(self.space.sample(self.generator), 0)

    def tell(self, proposal: Proposal, score: float | None) -> None:
        """See `Sampler`."""
        rung = self.rungs.pop(proposal.number)
        self.results[rung].append((math.inf if score is None else score, proposal.number, proposal.genotype))

    def _propose(self, genotype: Any, rung: int) -> Proposal:
        self.rungs[self.asked] = rung
        self.asked += 1
        return Proposal(self.asked - 1, genotype, rung_epochs(self.settings, self.top - rung))


SAMPLER = SamplerKind(
    "asha",
    "many short trainings, the best of which are continued at once (Li et al. 2020)",
    settings=HyperbandSettings,
    build=AsynchronousHalving,
)

"""Asynchronous successive halving: the best of a rung go on at once, without waiting for the others.

Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning" (ASHA), algorithm 2. A cell that goes on
to the next rung goes on from its checkpoint.
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
    """A `Sampler`; each rung of a cell is a trial.

    Args:
        settings: See there.
        space: Draws.
        generator: Decides all draws.
    """

    def __init__(self, settings: HyperbandSettings, space: Space[Any], generator: random.Random) -> None:
        self.settings, self.space, self.generator = settings, space, generator
        self.top = rungs_below(settings.epochs, settings.eta)
        self.asked = 0
        self.rungs: dict[int, int] = {}
        self.results: list[list[tuple[float, int, Any]]] = [[] for _ in range(self.top + 1)]
        self.promoted: list[set[int]] = [set() for _ in range(self.top + 1)]

    def ask(self) -> Proposal | None:
        """See `Sampler`: a cell that may go on, from the highest rung that has one, or else a new one."""
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
    "many short trainings, of which the best go on at once (Li et al. 2020)",
    settings=HyperbandSettings,
    build=AsynchronousHalving,
)

"""Hyperband: brackets of successive halving, from many short trainings to few long ones.

Li et al. 2018, "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization", algorithm 1. The
training of a cell that is promoted to the next rung continues from its checkpoint, not from scratch.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from search.samplers.kind import SamplerKind
from search.samplers.sampler import Proposal
from search.samplers.settings import SamplerSettings

if TYPE_CHECKING:
    import random

    from search.spaces.space import Space

Eta = Annotated[int, Field(ge=2, le=100)]


class HyperbandSettings(SamplerSettings):
    """Settings of `hyperband` and `asha`; `epochs` is the longest training, R. See `SamplerSettings`.

    Attributes:
        eta: One in `eta` cells of a rung is promoted, and is trained `eta` times as long.
    """

    eta: Eta = 3


class Hyperband:
    """A `Sampler`; each rung of a cell counts as a trial. Brackets are repeated until the trials are used up.

    A rung begins when all results of the previous one are known; until then nothing is proposed.

    Args:
        settings: The settings.
        space: Gives the cells.
        generator: The source of all random numbers.
    """

    def __init__(self, settings: HyperbandSettings, space: Space[Any], generator: random.Random) -> None:
        self.settings, self.space, self.generator = settings, space, generator
        self.asked = 0
        self.deepest = self.bracket = rungs_below(settings.epochs, settings.eta)
        self.rung = 0
        self.waiting = self._draw()
        self.open: dict[int, Any] = {}
        self.scores: list[tuple[float, int, Any]] = []

    def ask(self) -> Proposal | None:
        """See `Sampler`."""
        if self.asked == self.settings.trials:
            return None
        if not self.waiting and not self.open:
            self._next_rung()
        if not self.waiting:
            return None
        genotype = self.waiting.pop(0)
        epochs = rung_epochs(self.settings, self.bracket - self.rung)
        proposal = Proposal(self.asked, genotype, epochs)
        self.open[self.asked] = genotype
        self.asked += 1
        return proposal

    def tell(self, proposal: Proposal, score: float | None) -> None:
        """See `Sampler`."""
        genotype = self.open.pop(proposal.number)
        self.scores.append((math.inf if score is None else score, proposal.number, genotype))

    def _draw(self) -> list[Any]:
        """Draw the first rung of a bracket: n = ceil((s_max + 1) / (s + 1) eta^s) cells."""
        share = (self.deepest + 1) / (self.bracket + 1)
        count = math.ceil(share * self.settings.eta**self.bracket)
        return [self.space.sample(self.generator) for _ in range(count)]

    def _next_rung(self) -> None:
        best = sorted(score for score in self.scores if score[0] < math.inf)
        kept = [genotype for _, _, genotype in best[: len(self.scores) // self.settings.eta]]
        self.scores = []
        if self.rung < self.bracket and kept:
            self.rung += 1
            self.waiting = kept
            return
        self.bracket = self.bracket - 1 if self.bracket else self.deepest
        self.rung = 0
        self.waiting = self._draw()


def rungs_below(epochs: int, eta: int) -> int:
    """The number of rungs below the longest training: floor(log_eta(epochs)), without rounding errors."""
    count = 0
    while eta ** (count + 1) <= epochs:
        count += 1
    return count


def rung_epochs(settings: HyperbandSettings, below: int) -> int:
    """Epochs of the rung that is `below` rungs below the longest training."""
    return max(1, round(settings.epochs / settings.eta**below))


SAMPLER = SamplerKind(
    "hyperband",
    "many short trainings, the best of which are continued, in brackets (Li et al. 2018)",
    settings=HyperbandSettings,
    build=Hyperband,
)

"""Random search: cells are drawn independently of each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from search.samplers.kind import SamplerKind
from search.samplers.sampler import Proposal
from search.samplers.settings import SamplerSettings

if TYPE_CHECKING:
    import random

    from search.spaces.space import Space


class RandomSearch:
    """A `Sampler`; the draws are those of the space's `sample`.

    Args:
        settings: The settings.
        space: Gives the cells.
        generator: Draws them.
    """

    def __init__(self, settings: SamplerSettings, space: Space[Any], generator: random.Random) -> None:
        self.settings = settings
        self.space = space
        self.generator = generator
        self.asked = 0

    def ask(self) -> Proposal | None:
        """See `Sampler`."""
        if self.asked == self.settings.trials:
            return None
        self.asked += 1
        return Proposal(self.asked - 1, self.space.sample(self.generator), self.settings.epochs)

    def tell(self, proposal: Proposal, score: float | None) -> None:
        """See `Sampler`; results are ignored."""


SAMPLER = SamplerKind(
    "random", "random draws, each trained from scratch", settings=SamplerSettings, build=RandomSearch
)

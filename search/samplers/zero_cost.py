"""Zero-cost search: proposes the cells of a pool in the order of a zero-cost score (`search.zero_cost`)."""

from __future__ import annotations

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


class ZeroCostSettings(SamplerSettings):
    """Settings of `zero-cost`; see `SamplerSettings` for the others.

    Attributes:
        score: The zero-cost score.
        pool: Number of cells with different graphs that are drawn and scored.
    """

    score: ScoreName = "hidden-1"
    pool: Size = 200


class ZeroCost:
    """A `Sampler` that does not learn from results.

    Args:
        settings: The settings.
        space: Gives the pool.
        generator: Draws the pool.
    """

    def __init__(self, settings: ZeroCostSettings, space: Space[Any], generator: random.Random) -> None:
        from search.zero_cost.ranking import best_by_score

        self.settings = settings
        self.ranked = best_by_score(space, generator, settings.pool, settings.score)
        self.asked = 0

    def ask(self) -> Proposal | None:
        """See `Sampler`.

        Raises:
            CellzooError: All cells of the pool were proposed.
        """
        if self.asked == self.settings.trials:
            return None
        if self.asked == len(self.ranked):
            more = "the setting pool makes it larger"
            if len(self.ranked) < self.settings.pool:
                more = "no others were found in the space"
            raise CellzooError(f"all {len(self.ranked)} cells of the pool were proposed; {more}")
        self.asked += 1
        return Proposal(self.asked - 1, self.ranked[self.asked - 1], self.settings.epochs)

    def tell(self, proposal: Proposal, score: float | None) -> None:
        """See `Sampler`; results are ignored."""


SAMPLER = SamplerKind(
    "zero-cost",
    "the best of many random cells by a score that needs no training",
    settings=ZeroCostSettings,
    build=ZeroCost,
)

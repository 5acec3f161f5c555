"""The contract of a sampler: ask for a cell, tell what it is worth.

    sampler = kind.build(settings, space, random.Random(seed))
    proposal = sampler.ask()
    sampler.tell(proposal, score)

A sampler neither trains nor waits. Whoever drives it (`search.run.sampling`) may ask again before it tells,
and tells in any order, so candidates are trained side by side. Everything that a sampler knows comes from its
arguments, the draws of its generator and the calls of `ask` and `tell`: the same calls in the same order give
the same proposals in every process, so a history of the calls is all that a resumed search needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import random

    from search.spaces.space import Space


@dataclass(frozen=True)
class Proposal:
    """A cell that is worth trying.

    Attributes:
        number: Counts the proposals of a sampler from 0.
        genotype: A genotype of its space.
        epochs: How long the cell is to be trained. A later proposal of the same genotype with more epochs goes
            on where the earlier one ended.
    """

    number: int
    genotype: Any
    epochs: int


class Sampler(Protocol):
    """Proposes cells."""

    def ask(self) -> Proposal | None:
        """Propose a cell, or None where it has nothing to propose before it is told more, or at all.

        Raises:
            CellzooError: The space holds nothing else.
        """
        ...

    def tell(self, proposal: Proposal, score: float | None) -> None:
        """Take what a proposal is worth.

        Args:
            proposal: As `ask` gave it.
            score: Finite, and better the lower it is; None for a candidate that failed or diverged.
        """
        ...


class BuildSampler(Protocol):
    """Makes a sampler."""

    def __call__(self, settings: Any, space: Space[Any], generator: random.Random) -> Sampler:
        """Make the sampler.

        Args:
            settings: An object of the kind's settings class.
            space: Where the cells come from.
            generator: Decides all its random numbers.

        Raises:
            CellzooError: The settings do not fit the space.
        """
        ...

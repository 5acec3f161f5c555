"""The ask-and-tell interface of samplers.

    sampler = kind.build(settings, space, random.Random(seed))
    proposal = sampler.ask()
    sampler.tell(proposal, score)

A sampler neither trains nor waits. Its caller (`search.run.sampling`) may call `ask` several times before
`tell`, and `tell` in any order, so candidates can be trained in parallel. The state of a sampler depends only
on its arguments, the draws of its generator and the calls of `ask` and `tell`: the same calls in the same order
give the same proposals in every process, so a search is resumed by repeating the calls of its history.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import random

    from search.spaces.space import Space


@dataclass(frozen=True)
class Proposal:
    """A cell to evaluate.

    Attributes:
        number: Counts the proposals of a sampler from 0.
        genotype: A genotype of its space.
        epochs: Epochs of training. A later proposal of the same genotype with more epochs continues the earlier
            training.
    """

    number: int
    genotype: Any
    epochs: int


class Sampler(Protocol):
    """Proposes cells."""

    def ask(self) -> Proposal | None:
        """Propose a cell; None if all trials are used, or if results are needed before the next proposal.

        Raises:
            CellzooError: The space has nothing else to propose.
        """
        ...

    def tell(self, proposal: Proposal, score: float | None) -> None:
        """Receive the score of a proposal.

        Args:
            proposal: As `ask` returned it.
            score: Finite, lower is better; None for a candidate that failed or diverged.
        """
        ...


class BuildSampler(Protocol):
    """Makes a sampler."""

    def __call__(self, settings: Any, space: Space[Any], generator: random.Random) -> Sampler:
        """Make the sampler.

        Args:
            settings: An instance of the kind's settings class.
            space: Gives the cells.
            generator: The source of all its random numbers.

        Raises:
            CellzooError: The settings do not fit the space.
        """
        ...

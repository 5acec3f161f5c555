"""Random search with shared weights.

Li & Talwalkar 2019, "Random Search and Reproducibility for Neural Architecture Search", section 3: on every
batch the shared weights of a uniformly drawn cell are trained. At the end cells are drawn and evaluated on
held-out data with the shared weights, and the best one is the result.
"""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import torch

from cellzoo.errors import DataError, NotationError
from cellzoo.notations.darts import Genotype, read_genotype
from cellzoo.notations.steps.graph import NONE
from search.methods.kind import MethodKind
from search.methods.method import Method
from search.methods.settings import SupernetSettings
from search.methods.shared_weights import share_weights
from search.spaces.darts import DartsSpace
from search.supernets.relaxation import Chosen
from search.supernets.shares import cell_shares
from tasks.settings import Count, Size
from tasks.training.state import Parts, frozen_keys, own_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from cellzoo.cells.cell import Cell
    from search.methods.method import Progress
    from search.supernets.relaxation import Distributions
    from tasks.problem import Batch, Problem
    from tasks.training.learner import Numbers
    from tasks.training.state import LearnerState


class RandomSharedSettings(SupernetSettings):
    """Settings of `random-ws`; see `SupernetSettings` for the others.

    Attributes:
        candidates: Cells that are drawn and evaluated at the end.
        candidates_an_epoch: Cells that are drawn and evaluated after each epoch, for the derived cell.
        candidate_batches: Batches of dev on which they are evaluated; 0 for all of dev, as in the paper.
    """

    candidates: Size = 1000
    candidates_an_epoch: Size = 10
    candidate_batches: Count = 0

    def space(self) -> DartsSpace:
        """The searched space.

        Raises:
            CellzooError: As in `DartsSpace`.
        """
        return DartsSpace(self.nodes, tuple(op for op in self.operations if op != NONE), self.highway)


class RandomShared(Method):
    """Random search with shared weights.

    Args:
        settings: The settings.
        problem: The problem of the search.
        generator: The source of all random numbers.
    """

    notation = "darts"

    def __init__(self, settings: RandomSharedSettings, problem: Problem, generator: torch.Generator) -> None:
        self.settings = settings
        self.space = settings.space()
        self.layout = settings.layout()
        self.relaxation = Chosen(self.layout, problem.layer)
        self.shared = share_weights(self.layout, self.relaxation, problem, settings, generator)
        self.rng = random.Random(int(torch.randint(2**62, (), generator=generator)))  # noqa: S311 - a seed
        self.best = self.space.sample(self.rng)
        self.relaxation.choose(self.shares(self.best))
        self._parts = Parts(
            {"model": self.shared.model},
            {"weights": self.shared.optimizer.optimizer},
            choices={"cells": self.rng},
            constant=frozen_keys("model", self.shared.model),
        )

    def start_epoch(self, epoch: int, epochs: int) -> Numbers:
        """See `Method`."""
        return {"learning_rate": self.settings.learning_rate}

    def step(self, batch: Batch, validation: Iterator[Batch]) -> Numbers:
        """Train the weights of one cell."""
        self.relaxation.choose(self.shares(self.space.sample(self.rng)))
        return {"train_loss": self.shared.learn(batch)}

    def end_epoch(self, validation: Iterator[Batch]) -> Numbers:
        """Evaluate new cells and the best one so far, and set the supernet to the best of them."""
        drawn = [self.space.sample(self.rng) for _ in range(self.settings.candidates_an_epoch)]
        self.best, loss = self._best_of([self.best, *drawn], validation)
        self.relaxation.choose(self.shares(self.best))
        return {"validation_loss": loss}

    def _best_of(
        self, candidates: Sequence[Genotype], validation: Iterator[Batch], progress: Progress | None = None
    ) -> tuple[Genotype, float]:
        """The best of some cells on the same held-out data, and its loss in nats."""
        batches = [next(validation) for _ in range(self.settings.candidate_batches)]
        losses = []
        for candidate in candidates:
            losses.append(self.shared.evaluate_cell(self.shares(candidate), batches))
            if progress is not None:
                progress(len(losses), len(candidates))
        ranked = [loss if math.isfinite(loss) else math.inf for loss in losses]
        index = min(range(len(candidates)), key=ranked.__getitem__)
        return candidates[index], losses[index]

    def distribution(self) -> Distributions:
        """Uniform, because no distribution is learned."""
        return self.relaxation.distribution()

    def derive(self) -> Cell:
        """The best cell that was evaluated so far."""
        return self.space.to_cell(self.best)

    def conclude(self, validation: Iterator[Batch], progress: Progress) -> Cell:
        """Draw cells, and select the best of them and of the best one so far."""
        drawn = [self.space.sample(self.rng) for _ in range(self.settings.candidates)]
        return self.space.to_cell(self._best_of([self.best, *drawn], validation, progress)[0])

    def shares(self, genotype: Genotype) -> dict[str, Tensor]:
        """A genotype as shares of the supernet."""
        return cell_shares(self.layout, [[edge] for edge in genotype.recurrent])

    def state(self) -> LearnerState:
        """See `Method`."""
        return self._parts.save({"best": str(self.best)})

    def restore(self, state: LearnerState) -> None:
        """See `Method`."""
        best = own_value(state, "best", str)
        try:
            genotype = read_genotype(best)
            self.space.encode(genotype)
        except (NotationError, ValueError) as error:
            raise DataError(f"the saved best cell is not one of the space: {best!r:.80}") from error
        self._parts.restore(state)
        self.best = genotype


METHOD = MethodKind(
    "random-ws", "uniform draws with shared weights (Li & Talwalkar 2019)", RandomSharedSettings, RandomShared
)

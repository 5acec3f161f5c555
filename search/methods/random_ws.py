"""Random search with shared weights.

Li & Talwalkar 2019, "Random Search and Reproducibility for Neural Architecture Search", section 3: on every
batch the shared weights of a cell that is drawn uniformly are trained; at the end cells are drawn, judged on
held-out data with the shared weights, and the best one is the result.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from cellzoo.notations.darts import Genotype, read_genotype
from cellzoo.notations.steps.graph import NONE
from search.methods.kind import MethodKind
from search.methods.saving import Parts
from search.methods.settings import SupernetSettings, WeightSettings, check_counts, check_not_negative
from search.methods.shared_weights import SharedWeights
from search.spaces.darts import DartsSpace
from search.supernets.network import Supernet
from search.supernets.relaxation import Chosen
from search.supernets.shares import cell_shares

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor, nn

    from cellzoo.cells.cell import Cell
    from search.methods.method import Distributions, Events, Judged, MethodState
    from search.objectives.objective import Batch, Objective


@dataclass(frozen=True, kw_only=True)
class RandomSharedSettings(SupernetSettings, WeightSettings):
    """Settings of `random-ws`; see `SupernetSettings` and `WeightSettings` for the others.

    Attributes:
        candidates: Cells that are drawn and judged at the end.
        candidates_an_epoch: The same after each epoch, for the cell that is named on the way.
        judging_batches: How many held-out batches they are judged on; 0 for all held-out data, as in the paper.
    """

    candidates: int = 1000
    candidates_an_epoch: int = 10
    judging_batches: int = 0

    def __post_init__(self) -> None:
        SupernetSettings.__post_init__(self)
        WeightSettings.__post_init__(self)
        check_counts(candidates=self.candidates, candidates_an_epoch=self.candidates_an_epoch)
        check_not_negative(judging_batches=self.judging_batches)

    def space(self) -> DartsSpace:
        """What can be found.

        Raises:
            CellzooError: As in `DartsSpace`.
        """
        return DartsSpace(self.nodes, tuple(op for op in self.operations if op != NONE), self.highway)


class RandomShared:
    """A `Method`; see the module.

    Args:
        settings: See there.
        objective: What is searched on.
        generator: Decides all chance.
    """

    def __init__(
        self, settings: RandomSharedSettings, objective: Objective, generator: torch.Generator
    ) -> None:
        self.settings = settings
        self.space = settings.space()
        self.layout = settings.layout()
        self.relaxation = Chosen(self.layout, objective.layer)
        supernet = Supernet(
            self.layout,
            objective.layer,
            self.relaxation,
            generator,
            weight_range=settings.weight_range,
            engine=settings.engine,
        )
        self.shared = SharedWeights(supernet, objective, settings, generator)
        self.drawer = random.Random(int(torch.randint(2**62, (), generator=generator)))  # noqa: S311 - a seed
        self.best = self.space.sample(self.drawer)
        self.relaxation.choose(self.shares(self.best))
        self._parts = Parts(
            {"model": self.shared.model},
            {"weights": self.shared.trainer.optimizer},
            drawers={"cells": self.drawer},
        )

    @property
    def model(self) -> nn.Module:
        """The objective's model around the supernet."""
        return self.shared.model

    @property
    def rnn(self) -> nn.Module:
        """The supernet."""
        return self.shared.supernet

    def start_epoch(self, epoch: int, epochs: int) -> Events:
        """See `Method`."""
        return {"learning_rate": self.settings.learning_rate}

    def step(self, batch: Batch, validation: Iterator[Batch]) -> Events:
        """Train the weights of one cell."""
        self.relaxation.choose(self.shares(self.space.sample(self.drawer)))
        return {"train_loss": self.shared.learn(batch)}

    def end_epoch(self, validation: Iterator[Batch]) -> Events:
        """Judge some cells and the one that was best before, and leave the supernet with the best."""
        drawn = [self.space.sample(self.drawer) for _ in range(self.settings.candidates_an_epoch)]
        self.best, loss = self._best_of([self.best, *drawn], validation)
        self.relaxation.choose(self.shares(self.best))
        return {"validation_loss": loss}

    def give_up(self) -> bool:
        """See `SharedWeights.is_sound`."""
        return self.shared.is_sound()

    def _best_of(
        self, candidates: Sequence[Genotype], validation: Iterator[Batch], judged: Judged | None = None
    ) -> tuple[Genotype, float]:
        """The best of some cells on the same held-out data, and its loss in nats a word."""
        batches = [next(validation) for _ in range(self.settings.judging_batches)]
        losses = []
        for candidate in candidates:
            losses.append(self.shared.judge(self.shares(candidate), batches))
            if judged is not None:
                judged(len(losses), len(candidates))
        ranked = [loss if math.isfinite(loss) else math.inf for loss in losses]
        index = min(range(len(candidates)), key=ranked.__getitem__)
        return candidates[index], losses[index]

    def distribution(self) -> Distributions:
        """Uniform: nothing is learned about architectures."""
        return self.relaxation.distribution()

    def derive(self) -> Cell:
        """The best cell that was judged so far."""
        return self.space.to_cell(self.best)

    def conclude(self, validation: Iterator[Batch], judged: Judged) -> Cell:
        """Draw cells and take the best, with the best so far among them."""
        drawn = [self.space.sample(self.drawer) for _ in range(self.settings.candidates)]
        return self.space.to_cell(self._best_of([self.best, *drawn], validation, judged)[0])

    def shares(self, genotype: Genotype) -> dict[str, Tensor]:
        """A genotype as shares of the supernet."""
        return cell_shares(self.layout, [[edge] for edge in genotype.recurrent])

    def state(self) -> MethodState:
        """See `Method`."""
        return self._parts.save({"best": str(self.best)})

    def restore(self, state: MethodState) -> None:
        """See `Method`."""
        self.best = read_genotype(self._parts.restore(state)["best"])


METHOD = MethodKind(
    "random-ws", "uniform draws with shared weights (Li & Talwalkar 2019)", RandomSharedSettings, RandomShared
)

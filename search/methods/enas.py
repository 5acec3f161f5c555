"""ENAS: a controller samples arcs, on which the shared weights are trained, and learns from their rewards.

Pham et al. 2018, "Efficient Neural Architecture Search via Parameter Sharing", as in enas_lm of
google-research.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, Self

import torch
from pydantic import model_validator

from cellzoo.notations.enas import TABLES
from search.methods.controller import Controller, SampledArc
from search.methods.kind import MethodKind
from search.methods.method import Method
from search.methods.settings import SharedSettings
from search.methods.shared_weights import share_weights
from search.spaces.enas import EnasSpace
from search.supernets.layout import CELL, Layout, Normalisation, Sharing
from search.supernets.relaxation import Chosen
from search.supernets.shares import cell_shares
from tasks.settings import Count, NotNegative, Positive, Probability, Size
from tasks.training.state import Parts, frozen_keys, own_value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from cellzoo.cells.cell import Cell
    from search.methods.method import Progress
    from search.spaces.enas import Arc
    from search.supernets.relaxation import Distributions
    from tasks.problem import Batch, Problem
    from tasks.training.learner import Numbers
    from tasks.training.state import LearnerState


class EnasSettings(SharedSettings):
    """Settings of `enas`; see `SharedSettings` for the others.

    Attributes:
        nodes: Nodes after node 0.
        table: Table of the ENAS notation, which defines the numbers of operations. All nodes are averaged.
        sharing: As in `Layout`; the code of ENAS has a matrix for each operation on each edge.
        normalisation: As in `Layout`.
        controller_learning_rate: Of Adam.
        controller_steps: Updates of the controller after each epoch.
        controller_samples: Arcs for each update, each evaluated on a different held-out batch.
        reward_scale: c of the reward c / exp(loss) on a held-out batch, 80 over perplexity in the paper.
        entropy_weight: Of the entropy in the reward.
        entropy: `exact`, the entropy of the distributions of an arc's numbers; `sampled`, only the terms of the
            sampled numbers, as in the code of ENAS.
        baseline_decay: Of the exponential moving average of rewards, which starts at 0.
        candidates: Arcs that are sampled and evaluated at the end; the best one is the result.
        candidate_batches: Batches of dev on which they are evaluated; 0 for all of dev.
    """

    nodes: Size = 8
    table: str = "enas_lm"
    sharing: Sharing = "operation"
    normalisation: Normalisation = "none"
    controller_learning_rate: Positive = 5e-5
    controller_steps: Size = 25
    controller_samples: Size = 10
    reward_scale: Positive = 80.0
    entropy_weight: NotNegative = 1e-5
    entropy: Literal["exact", "sampled"] = "exact"
    baseline_decay: Probability = 0.999
    candidates: Size = 100
    candidate_batches: Count = 1

    @model_validator(mode="after")
    def _check(self) -> Self:
        self.layout()
        if TABLES[self.table].loose_ends:
            raise ValueError(f"table {self.table!r} averages only loose ends; the supernet averages all nodes")
        return self

    def space(self) -> EnasSpace:
        """The searched space.

        Raises:
            CellzooError: As in `EnasSpace`.
        """
        return EnasSpace(self.nodes, self.table)

    def layout(self) -> Layout:
        """The layout of the supernet.

        Raises:
            CellzooError: As in `Layout`.
        """
        return Layout(
            nodes=self.nodes,
            operations=self.space().operations,
            sharing=self.sharing,
            normalisation=self.normalisation,
        )


class Enas(Method):
    """Trains the weights of a sampled arc on every batch, and the controller after every epoch.

    Args:
        settings: The settings.
        problem: The problem of the search.
        generator: The source of all random numbers.
    """

    notation = "enas"

    def __init__(self, settings: EnasSettings, problem: Problem, generator: torch.Generator) -> None:
        self.settings = settings
        self.space = settings.space()
        self.layout = settings.layout()
        self.generator = generator
        self.controller = Controller(settings.nodes, len(self.space.operations), generator)
        self.optimizer = torch.optim.Adam(self.controller.parameters(), lr=settings.controller_learning_rate)
        self.baseline = 0.0
        self.relaxation = Chosen(self.layout, problem.layer)
        self.shared = share_weights(self.layout, self.relaxation, problem, settings, generator)
        self._parts = Parts(
            {"model": self.shared.model, "controller": self.controller},
            {"weights": self.shared.optimizer.optimizer, "controller": self.optimizer},
            {"arcs": generator},
            constant=frozen_keys("model", self.shared.model),
        )
        self.relaxation.choose(self.shares(self.controller.greedy().arc))

    def start_epoch(self, epoch: int, epochs: int) -> Numbers:
        """See `Method`."""
        return {
            "learning_rate": self.settings.learning_rate,
            "architecture_learning_rate": self.settings.controller_learning_rate,
        }

    def step(self, batch: Batch, validation: Iterator[Batch]) -> Numbers:
        """Train the weights of one arc."""
        with torch.no_grad():
            arc = self.controller.sample(self.generator).arc
        self.relaxation.choose(self.shares(arc))
        return {"train_loss": self.shared.learn(batch)}

    def end_epoch(self, validation: Iterator[Batch]) -> Numbers:
        """Update the controller, and set the supernet to its most probable arc."""
        rewards, losses = [], []
        for _ in range(self.settings.controller_steps):
            terms = []
            for _ in range(self.settings.controller_samples):
                walk = self.controller.sample(self.generator)
                loss = self.shared.evaluate_cell(self.shares(walk.arc), [next(validation)])
                reward = self.reward(loss, walk)
                self.baseline += (1.0 - self.settings.baseline_decay) * (reward - self.baseline)
                terms.append(-walk.log_probability * (reward - self.baseline))
                rewards.append(reward)
                losses.append(loss)
            self.optimizer.zero_grad()
            torch.stack(terms).mean().backward()
            self.optimizer.step()
        self.relaxation.choose(self.shares(self.controller.greedy().arc))
        return {
            "validation_loss": sum(losses) / len(losses),
            "reward": sum(rewards) / len(rewards),
            "baseline": self.baseline,
        }

    def reward(self, loss: float, walk: SampledArc) -> float:
        """The reward of an arc for a loss in nats per word; only the entropy for a loss that is not finite."""
        exact = self.settings.entropy == "exact"
        entropy = (walk.entropy if exact else walk.sampled_entropy).item()
        earned = self.settings.reward_scale * math.exp(-loss) if math.isfinite(loss) else 0.0
        return earned + self.settings.entropy_weight * entropy

    def distribution(self) -> Distributions:
        """The distributions of the numbers along the most probable arc."""
        return {CELL: [row.detach() for row in self.controller.greedy().distributions]}

    def derive(self) -> Cell:
        """The cell of the arc of `Controller.greedy`."""
        return self.space.to_cell(self.controller.greedy().arc)

    def conclude(self, validation: Iterator[Batch], progress: Progress) -> Cell:
        """Sample arcs, and select the best on held-out data with the shared weights."""
        batches = [next(validation) for _ in range(self.settings.candidate_batches)]
        found: tuple[float, Arc] | None = None
        for number in range(1, self.settings.candidates + 1):
            with torch.no_grad():
                arc = self.controller.sample(self.generator).arc
            loss = self.shared.evaluate_cell(self.shares(arc), batches)
            progress(number, self.settings.candidates)
            if math.isfinite(loss) and (found is None or loss < found[0]):
                found = (loss, arc)
        return self.derive() if found is None else self.space.to_cell(found[1])

    def shares(self, arc: Arc) -> dict[str, Tensor]:
        """An arc as shares of the supernet."""
        pairs = zip(arc[::2], arc[1::2], strict=True)
        nodes = [[(self.space.operations[op], predecessor)] for predecessor, op in pairs]
        return cell_shares(self.layout, nodes)

    def state(self) -> LearnerState:
        """See `Method`."""
        return self._parts.save({"baseline": self.baseline})

    def restore(self, state: LearnerState) -> None:
        """See `Method`."""
        baseline = own_value(state, "baseline", float)
        self._parts.restore(state)
        self.baseline = baseline


METHOD = MethodKind("enas", "a controller that draws arcs (Pham et al. 2018)", EnasSettings, Enas)

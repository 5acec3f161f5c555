"""Random search: cells are drawn, each is trained alone for a while, and the best on held-out data wins.

It learns nothing from one cell for the next, so it is what every other method has to beat with the same
compute. A cell whose loss is no finite number is given up, and the search goes on with the next.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch

from cellzoo.cells.cell import Cell
from cellzoo.errors import CellzooError, RunError, unknown
from cellzoo.layer import CellRNN
from cellzoo.notations.steps.graph import OPERATIONS
from search.methods.kind import MethodKind
from search.methods.saving import Parts
from search.methods.settings import WeightSettings, check_counts
from search.methods.shared_weights import Stream, WeightTrainer, check_finite
from search.spaces.darts import DartsSpace
from search.spaces.egs import EgsSpace
from search.spaces.enas import EnasSpace
from search.spaces.ess import EssSpace
from search.spaces.idarts import IDartsSpace
from search.supernets.layout import CELL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import nn

    from search.methods.method import Distributions, Events, Judged, MethodState
    from search.objectives.objective import Batch, Objective
    from search.spaces.space import Space

SpaceName: TypeAlias = Literal["darts", "idarts", "egs", "ess", "enas"]


@dataclass(frozen=True, kw_only=True)
class RandomSettings(WeightSettings):
    """Settings of `random`; see `WeightSettings` for the others.

    Attributes:
        space: Where cells are drawn from, by its notation; its options but those below are its defaults.
        nodes: Of a cell.
        operations: Of a cell; `enas` has its own.
        epochs_each: Epochs that each cell is trained for. All epochs of the search divided by this are the
            number of cells.
    """

    space: SpaceName = "darts"
    nodes: int = 8
    operations: tuple[str, ...] = OPERATIONS
    epochs_each: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(epochs_each=self.epochs_each)
        self.cells()

    def cells(self) -> Space[Any]:
        """The space.

        Raises:
            CellzooError: A value is out of its range.
        """
        builders: dict[str, Callable[[], Space[Any]]] = {
            "darts": lambda: DartsSpace(self.nodes, self.operations),
            "idarts": lambda: IDartsSpace(self.nodes, self.operations),
            "egs": lambda: EgsSpace(self.nodes, self.operations),
            "ess": lambda: EssSpace(DartsSpace(self.nodes, self.operations)),
            "enas": lambda: EnasSpace(self.nodes),
        }
        if self.space not in builders:
            raise unknown("space", self.space, builders)
        return builders[self.space]()


class _Candidate:
    """A cell in training."""

    def __init__(
        self, cell: Cell, objective: Objective, settings: WeightSettings, generator: torch.Generator
    ) -> None:
        layer = objective.layer
        self.cell = cell
        self.rnn = CellRNN(
            cell,
            layer.input_size,
            layer.hidden_size,
            bidirectional=layer.bidirectional,
            dropout_x=layer.dropout_x,
            dropout_h=layer.dropout_h,
            dtype=layer.dtype,
        )
        self.rnn.reset_parameters(generator)
        self.rnn.to(layer.device)
        self.model = objective.model(self.rnn, generator)
        self.trainer = WeightTrainer(self.model.parameters(), settings)
        self.stream = Stream()
        self.is_lost = False


class RandomSearch:
    """A `Method`; see the module.

    Args:
        settings: See there.
        objective: What is searched on.
        generator: Decides all chance.
    """

    def __init__(self, settings: RandomSettings, objective: Objective, generator: torch.Generator) -> None:
        self.settings = settings
        self.objective = objective
        self.generator = generator
        self.space = settings.cells()
        self.drawer = random.Random(int(torch.randint(2**62, (), generator=generator)))  # noqa: S311 - a seed
        self.candidate = self._draw()
        self.epochs_done = 0
        self.best: tuple[float, Cell] | None = None

    @property
    def model(self) -> nn.Module:
        """The objective's model around the candidate."""
        return self.candidate.model

    @property
    def rnn(self) -> nn.Module:
        """The candidate."""
        return self.candidate.rnn

    def start_epoch(self, epoch: int, epochs: int) -> Events:
        """Go on with the candidate, or draw the next one."""
        if self.epochs_done == self.settings.epochs_each:
            self.candidate, self.epochs_done = self._draw(), 0
        return {"learning_rate": self.settings.learning_rate}

    def step(self, batch: Batch, validation: Iterator[Batch]) -> Events:
        """Train the candidate."""
        candidate = self.candidate
        if candidate.is_lost:
            return {}
        try:
            outcome = self.objective.loss(candidate.model, batch, candidate.stream.before(batch))
            check_finite(outcome.penalised.item(), "the training loss")
            candidate.trainer.step(outcome.penalised, batch.scale)
        except RunError:
            candidate.is_lost = True
            return {}
        candidate.stream.after(outcome)
        return {"train_loss": outcome.loss.item()}

    def end_epoch(self, validation: Iterator[Batch]) -> Events:
        """Judge the candidate on all held-out data once its epochs are over."""
        self.epochs_done += 1
        if self.epochs_done < self.settings.epochs_each or self.candidate.is_lost:
            return {}
        metrics = self.objective.evaluate(self.candidate.model)
        metric = metrics[self.objective.metric]
        cost = metric if self.objective.lower_is_better else -metric
        if math.isfinite(cost) and (self.best is None or cost < self.best[0]):
            self.best = (cost, self.candidate.cell)
        return {"validation_loss": metrics["loss"]}

    def give_up(self) -> bool:
        """The next cell is another one."""
        self.candidate.is_lost = True
        return True

    def distribution(self) -> Distributions:
        """Uniform over the operations of each node: nothing is learned."""
        operations = len(self.settings.operations)
        return {CELL: [torch.full((operations,), 1.0 / operations) for _ in range(self.settings.nodes)]}

    def derive(self) -> Cell:
        """The best cell so far; the candidate before the first was judged."""
        return self.candidate.cell if self.best is None else self.best[1]

    def conclude(self, validation: Iterator[Batch], judged: Judged) -> Cell:
        """The best of the cells that had all their epochs.

        Raises:
            RunError: All were given up.
        """
        if self.best is None:
            raise RunError("no cell had a finite loss on held-out data")
        return self.best[1]

    def state(self) -> MethodState:
        """See `Method`."""
        return self._parts(self.candidate).save(
            {
                "cell": self.candidate.cell.to_json(),
                "epochs_done": self.epochs_done,
                "is_lost": self.candidate.is_lost,
                "best": None if self.best is None else [self.best[0], self.best[1].to_json()],
            }
        )

    def restore(self, state: MethodState) -> None:
        """See `Method`."""
        cell = Cell.from_json(state.content["own"]["cell"])
        # Its weights are those of the state; what draws them here is not used again.
        candidate = _Candidate(cell, self.objective, self.settings, torch.Generator())
        own = self._parts(candidate).restore(state)
        self.candidate, self.epochs_done = candidate, own["epochs_done"]
        candidate.is_lost = own["is_lost"]
        self.best = None if own["best"] is None else (own["best"][0], Cell.from_json(own["best"][1]))

    def _draw(self) -> _Candidate:
        cell = self.space.to_cell(self.space.sample(self.drawer))
        return _Candidate(cell, self.objective, self.settings, self.generator)

    def _parts(self, candidate: _Candidate) -> Parts:
        return Parts(
            {"model": candidate.model},
            {"weights": candidate.trainer.optimizer},
            {"weights": self.generator},
            {"cells": self.drawer},
        )


def check_epochs(settings: RandomSettings, epochs: int) -> None:
    """Check that the epochs of a search make whole cells.

    Raises:
        CellzooError: They do not.
    """
    each = settings.epochs_each
    below = epochs - epochs % each
    if epochs % each:
        choices = " or ".join(str(count) for count in (below, below + each) if count)
        raise CellzooError(
            f"epochs is {epochs}, but each cell is trained for epochs_each = {each} and only then judged; "
            f"expected a multiple of it, such as {choices}"
        )


METHOD = MethodKind(
    "random", "uniform draws, each trained alone", RandomSettings, RandomSearch, check_epochs=check_epochs
)

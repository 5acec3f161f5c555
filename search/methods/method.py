"""The contract of a method that trains a supernet.

A method is a `tasks.training.learner.Learner`, so the loop of all trainings drives it, and an evaluation of a
cell and a search differ in nothing but the learner. It owns the problem's model around a `Supernet`. Beyond a
learner it can say what it believes about the architecture (`distribution`), which cell it would name now
(`derive`), and which cell the search ends in (`conclude`).

A new method is one file in this folder with a `MethodKind` called `METHOD`. Methods that train candidates one
by one are samplers: `search.samplers`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from search.methods.beliefs import beliefs
from search.methods.derived import describe_cell
from search.supernets.flops import EPOCH_FLOPS
from tasks.problem import LOSS
from tasks.training.weights import check_finite

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

    from cellzoo.cells.cell import Cell
    from search.methods.shared_weights import SharedWeights
    from search.supernets.relaxation import Distributions
    from tasks.problem import Batch, Evaluation
    from tasks.training.learner import Numbers
    from tasks.training.state import LearnerState

Progress: TypeAlias = Callable[[int, int], None]
"""Takes how many candidates are evaluated, and of how many."""


class Method(ABC):
    """A `Learner` that searches with shared weights; what most methods do alike is here.

    Attributes:
        notation: The notation that its cells are written in first; others are tried after it.
        shared: The supernet in the problem's model, and how its weights are trained.
    """

    notation: str = ""
    shared: SharedWeights

    @property
    def model(self) -> nn.Module:
        """The problem's model around the supernet."""
        return self.shared.model

    @property
    def rnn(self) -> nn.Module:
        """The supernet in the model."""
        return self.shared.supernet

    @property
    def finished(self) -> bool:
        """A search ends with its budget."""
        return False

    @abstractmethod
    def start_epoch(self, epoch: int, epochs: int) -> Numbers:
        """See `Learner`; has `learning_rate`, and `architecture_learning_rate` where there is one."""

    @abstractmethod
    def step(self, batch: Batch, validation: Iterator[Batch]) -> Numbers:
        """See `Learner`.

        Raises:
            RunError: A loss is not finite; the weights are as before the step, but the architecture may have
                learned from a loss before that.
        """

    def end_epoch(self, validation: Iterator[Batch]) -> Numbers:
        """See `Learner`; most methods do nothing once an epoch."""
        return {}

    def evaluated(self, evaluation: Evaluation) -> Numbers:
        """Stop if the loss on dev is not finite, unless only running statistics can be to blame.

        Returns:
            All operations of the epoch, its evaluation among them.

        Raises:
            RunError: It is not finite, and going on would not help.
        """
        if not self.shared.can_go_on:
            check_finite(evaluation.metrics[LOSS], "the loss on dev")
        return {EPOCH_FLOPS: float(self.take_flops())}

    def take_flops(self) -> int:
        """Floating-point operations of the supernet since this was asked last; see `search.supernets.flops`."""
        return self.shared.supernet.take_flops()

    @abstractmethod
    def distribution(self) -> Distributions:
        """What the method believes about the architecture now; uniform where it does not learn any belief."""

    @abstractmethod
    def derive(self) -> Cell:
        """The cell that it would name now. Cheap, and without random numbers: no call changes the search."""

    def conclude(self, validation: Iterator[Batch], progress: Progress) -> Cell:
        """The cell that the search ends in; some methods draw candidates and evaluate them first.

        Args:
            validation: As in `step`, from its start.
            progress: Is called after each candidate.
        """
        return self.derive()

    def notes(self) -> dict[str, Any]:
        """How decided the search is, and the cell that it would name now."""
        return {
            **beliefs(self.distribution()),
            "cell": describe_cell(self.derive(), self.notation).model_dump(mode="json", exclude_none=True),
        }

    @abstractmethod
    def state(self) -> LearnerState:
        """See `Learner`."""

    @abstractmethod
    def restore(self, state: LearnerState) -> None:
        """See `Learner`."""

"""The interface of a method that trains a supernet.

A method is a `tasks.training.learner.Learner`, so a search is run by the same training loop as the training of
a cell. It owns the problem's model around a `Supernet`. In addition to a learner it gives its distribution over
architectures (`distribution`), the currently best cell (`derive`), and the result of the search (`conclude`).

A new method is one file in this folder with a `MethodKind` called `METHOD`. Methods that train each candidate
separately are samplers, see `search.samplers`.
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
"""Is called with the number of candidates evaluated so far, and their total number."""


class Method(ABC):
    """A `Learner` that searches with shared weights; the base class of all methods with a supernet.

    Attributes:
        notation: The preferred notation of its cells, see `describe_cell`.
        shared: The supernet in the problem's model, and the training of its weights.
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
        """False: a search ends only when its epochs are used up."""
        return False

    @abstractmethod
    def start_epoch(self, epoch: int, epochs: int) -> Numbers:
        """See `Learner`; gives `learning_rate`, and `architecture_learning_rate` if the method has one."""

    @abstractmethod
    def step(self, batch: Batch, validation: Iterator[Batch]) -> Numbers:
        """See `Learner`.

        Raises:
            RunError: A loss is not finite. The weights are unchanged, but the architecture may have been
                updated already.
        """

    def end_epoch(self, validation: Iterator[Batch]) -> Numbers:
        """See `Learner`; does nothing by default."""
        return {}

    def evaluated(self, evaluation: Evaluation) -> Numbers:
        """Check that the loss on dev is finite, except where training can continue; see `SharedWeights`.

        Returns:
            The number of operations of the epoch, including its evaluation.

        Raises:
            RunError: The loss is not finite, and training cannot continue.
        """
        if not self.shared.can_go_on:
            check_finite(evaluation.metrics[LOSS], "the loss on dev")
        return {EPOCH_FLOPS: float(self.take_flops())}

    def take_flops(self) -> int:
        """Floating-point operations of the supernet since the last call; see `search.supernets.flops`."""
        return self.shared.supernet.take_flops()

    @abstractmethod
    def distribution(self) -> Distributions:
        """The current distribution over architectures; uniform for methods that do not learn one."""

    @abstractmethod
    def derive(self) -> Cell:
        """The currently best cell. Cheap, deterministic and without side effects on the search."""

    def conclude(self, validation: Iterator[Batch], progress: Progress) -> Cell:
        """The result of the search: by default the derived cell; some methods evaluate candidates first.

        Args:
            validation: As in `step`, from its start.
            progress: Is called after each candidate.
        """
        return self.derive()

    def notes(self) -> dict[str, Any]:
        """Entropy and deviation of the distribution, and the derived cell."""
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

"""The interface of what the training loop drives: a trainer of weights, or a search method with a supernet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import nn

    from tasks.problem import Batch, BatchLoss, Carry, Evaluation
    from tasks.training.state import LearnerState

Numbers: TypeAlias = dict[str, float]
"""Named numbers of one step or epoch. `train_loss` and `validation_loss` are in nats, and left out where they
were not computed; learners add others, such as `learning_rate`, `temperature` or `reward`."""


class Learner(Protocol):
    """Learns from a problem's batches, driven by `tasks.training.loop`.

        for epoch in range(epochs):
            learner.start_epoch(epoch, epochs)
            for batch in problem.train_batches(...):
                learner.step(batch, validation)
            learner.end_epoch(validation)
            learner.evaluated(problem.evaluate(learner.model, "dev"))

    All random numbers come from the generator that a learner is built with, except dropout masks, which come
    from torch's default generator; the caller seeds that one and saves its state beside `state()`.
    """

    @property
    def model(self) -> nn.Module:
        """The model to evaluate, with its current weights."""
        ...

    @property
    def finished(self) -> bool:
        """Whether no further epoch would change the result."""
        ...

    def start_epoch(self, epoch: int, epochs: int) -> Numbers:
        """Prepare an epoch, for example by setting a temperature.

        Args:
            epoch: Index of the epoch, from 0.
            epochs: Number of epochs of the whole training.

        Returns:
            The values that were set, such as `learning_rate`.
        """
        ...

    def step(self, batch: Batch, validation: Iterator[Batch]) -> Numbers:
        """Learn from one training batch.

        Args:
            batch: Training data.
            validation: An endless iterator over batches of dev; the learner takes as many as it needs, often
                one or none.

        Raises:
            RunError: A loss or gradient is not finite; the weights are as before the step.
        """
        ...

    def end_epoch(self, validation: Iterator[Batch]) -> Numbers:
        """Finish an epoch, for example by updating a controller.

        Args:
            validation: The same iterator as in `step`.

        Raises:
            RunError: As in `step`.
        """
        ...

    def evaluated(self, evaluation: Evaluation) -> Numbers:
        """Receive the evaluation of `model` on dev after the epoch: keep the best weights, anneal, or stop.

        Raises:
            RunError: The loss on dev is not finite.
        """
        ...

    def notes(self) -> dict[str, Any]:
        """JSON values that are added to each event, such as the derived cell."""
        ...

    def state(self) -> LearnerState:
        """Return everything that the rest of the training depends on; called between two epochs."""
        ...

    def restore(self, state: LearnerState) -> None:
        """Restore what `state()` returned, so that all later steps are the same, bit for bit.

        The learner must have been built with the same settings and problem.

        Raises:
            DataError: The state does not fit this learner, which must not be used any further.
        """
        ...


@runtime_checkable
class Recovers(Protocol):
    """A learner that can return to earlier weights after a loss that was not finite."""

    def recover(self) -> Numbers | None:
        """Restore the best weights so far, at most once; the loop then repeats the epoch that failed.

        Returns:
            Numbers for the event log; None if there are no such weights, or if they were restored before.
        """
        ...


class Stream:
    """The recurrent state that is carried from one batch to the next."""

    def __init__(self) -> None:
        self._carry: Carry = None

    def before(self, batch: Batch) -> Carry:
        """Return the state that a batch starts from; None at the start of a stream."""
        return None if batch.starts else self._carry

    def after(self, result: BatchLoss) -> None:
        """Keep the final state of a batch."""
        self._carry = result.carry


def mean_numbers(steps: Mapping[str, list[float]]) -> Numbers:
    """Average each number over the steps that reported it."""
    return {name: sum(values) / len(values) for name, values in steps.items() if values}

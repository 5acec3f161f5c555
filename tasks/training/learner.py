"""What learns, an epoch at a time: the weights of a cell, or a supernet with its architecture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import nn

    from tasks.problem import Batch, BatchLoss, Carry, Evaluation
    from tasks.training.state import LearnerState

Numbers: TypeAlias = dict[str, float]
"""Numbers of one step or epoch, by name. `train_loss` and `validation_loss` are in nats; what takes no part in
a step is left out. `learning_rate`, `temperature`, `reward` and others are there where a learner has them."""


class Learner(Protocol):
    """Learns from a problem's batches, driven by `tasks.training.loop`.

        for epoch in range(epochs):
            learner.start_epoch(epoch, epochs)
            for batch in problem.train_batches(...):
                learner.step(batch, validation)
            learner.end_epoch(validation)
            learner.evaluated(problem.evaluate(learner.model, "dev"))

    All random numbers come from the generator that a learner is built with, but for dropout masks, which come
    from torch's default generator; whoever drives it seeds that one and saves its state beside `state()`.
    """

    @property
    def model(self) -> nn.Module:
        """The problem's model, as it is to be evaluated now."""
        ...

    @property
    def finished(self) -> bool:
        """Whether no further epoch would change the result."""
        ...

    def start_epoch(self, epoch: int, epochs: int) -> Numbers:
        """Set what changes with time, such as a temperature.

        Args:
            epoch: From 0.
            epochs: Of the whole training.

        Returns:
            What was set, such as `learning_rate`.
        """
        ...

    def step(self, batch: Batch, validation: Iterator[Batch]) -> Numbers:
        """Learn from one training batch.

        Args:
            batch: Of the training data.
            validation: Endless; the learner takes as many batches of dev as it needs, often one or none.

        Raises:
            RunError: A loss or gradient is not finite; the weights are as before the step.
        """
        ...

    def end_epoch(self, validation: Iterator[Batch]) -> Numbers:
        """Do what is done once an epoch, such as updates of a controller.

        Args:
            validation: As in `step`, where the steps left it.

        Raises:
            RunError: As in `step`.
        """
        ...

    def evaluated(self, evaluation: Evaluation) -> Numbers:
        """Take what `model` reaches on dev after the epoch: keep the best, anneal, or stop.

        Raises:
            RunError: The loss on dev is not finite, and going on would not help.
        """
        ...

    def notes(self) -> dict[str, Any]:
        """What a reader wants to see of the learner in an event, as JSON values, such as the derived cell."""
        ...

    def state(self) -> LearnerState:
        """Save everything that the rest of the training depends on, between two epochs."""
        ...

    def restore(self, state: LearnerState) -> None:
        """Go on where `state()` was taken, so that all later steps are the same, bit for bit.

        The learner must have been built with the same settings and problem.

        Raises:
            DataError: The state is not one of such a learner; nothing was changed.
        """
        ...


@runtime_checkable
class Recovers(Protocol):
    """A learner that can go back where a loss was not finite."""

    def recover(self) -> Numbers | None:
        """Go back to the best state so far, once; the epoch that failed is then begun again.

        Returns:
            What it went back to; None where there is nothing to go back to, or it went back before.
        """
        ...


class Stream:
    """What is carried from batch to batch of one stream."""

    def __init__(self) -> None:
        self._carry: Carry = None

    def before(self, batch: Batch) -> Carry:
        """The carry that a batch starts from."""
        return None if batch.starts else self._carry

    def after(self, result: BatchLoss) -> None:
        """Take the carry of a batch."""
        self._carry = result.carry


def mean_numbers(steps: Mapping[str, list[float]]) -> Numbers:
    """Mean of each number over the steps that gave it."""
    return {name: sum(values) / len(values) for name, values in steps.items() if values}

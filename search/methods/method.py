"""The contract of a search method.

A method owns a model of its objective, and in it the recurrent layer that it searches with. It is driven from
outside, an epoch at a time:

    method = build(name, settings, objective, generator)
    for epoch in range(epochs):
        method.start_epoch(epoch, epochs)
        validation = objective.validation_batches(...)
        for batch in objective.train_batches(...):
            events = method.step(batch, validation)
        events = method.end_epoch(validation)
    cell = method.conclude(objective.validation_batches(...), judged)

All chance of a method comes from the generator that it is built with, but for the dropout masks, which come
from torch's default generator. What drives the method seeds that one, and saves its state beside `state()`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from torch import Tensor, nn

    from cellzoo.cells.cell import Cell
    from search.objectives.objective import Batch

Events = dict[str, float]
"""Numbers of one step or epoch, by name. `train_loss` and `validation_loss` are nats a word; a method that
trains no weights, or asks for no validation batch, in this step leaves them out. `temperature`, `reward` and
others are there where the method has them."""

Distributions = dict[str, list["Tensor"]]
"""What a method believes: group -> categorical distributions, each (K,), detached. A group is a part of the
architecture that a reader wants to see by itself: `cell`, or `cell`, `past_inputs` and `past_states`."""


Judged: TypeAlias = "Callable[[int, int], None]"
"""Takes how many candidates were judged, and of how many."""


@dataclass(frozen=True)
class MethodState:
    """Everything that the rest of a search depends on, between two epochs.

    Attributes:
        tensors: Name -> tensor; no two share memory.
        content: What JSON can hold.
    """

    tensors: Mapping[str, Tensor]
    content: Mapping[str, Any] = field(default_factory=dict)


class Method(Protocol):
    """A way to search."""

    @property
    def model(self) -> nn.Module:
        """The objective's model, whose weights the method trains now.

        A method that trains candidates one by one replaces it.
        """
        ...

    @property
    def rnn(self) -> nn.Module:
        """The recurrent layer in the model: a `Supernet`, or the `CellRNN` of the candidate."""
        ...

    def start_epoch(self, epoch: int, epochs: int) -> Events:
        """Set what changes with time, such as a temperature.

        Args:
            epoch: From 0.
            epochs: Of the whole search.

        Returns:
            What was set; also `learning_rate` of the weights, and `architecture_learning_rate` where there is
            one.
        """
        ...

    def step(self, batch: Batch, validation: Iterator[Batch]) -> Events:
        """Learn from one training batch.

        Args:
            batch: Of the training data.
            validation: Endless; the method takes as many batches as it needs, often one or none.

        Raises:
            RunError: A loss is no finite number; the weights are as before the step, but the architecture may
                have learned from a loss before that.
        """
        ...

    def end_epoch(self, validation: Iterator[Batch]) -> Events:
        """Do what is done once an epoch: update a controller, judge a candidate.

        Args:
            validation: As in `step`, where the steps left it.

        Raises:
            RunError: As in `step`.
        """
        ...

    def give_up(self) -> bool:
        """Give `model` up, because its loss on held-out data is no finite number; whether the search goes on.

        It does where candidates are trained one by one: the next ones may be sound. It also does where only the
        running statistics of evaluation can be to blame; the model is kept then.
        """
        ...

    def distribution(self) -> Distributions:
        """What the method believes about the architecture now; uniform where it does not learn any belief."""
        ...

    def derive(self) -> Cell:
        """The cell that it would name now. Cheap, and without chance: no call changes the search."""
        ...

    def conclude(self, validation: Iterator[Batch], judged: Judged) -> Cell:
        """The cell that the search ends in.

        For most methods that is `derive()`; some draw candidates and judge them on validation data first.

        Args:
            validation: As in `step`, from its start.
            judged: Is called after each candidate.
        """
        ...

    def state(self) -> MethodState:
        """Save the search, between two epochs: weights, optimisers, beliefs, generators."""
        ...

    def restore(self, state: MethodState) -> None:
        """Go on where `state()` was taken, so that all later steps are the same, bit for bit.

        The method must have been built with the same settings and objective.

        Raises:
            DataError: The state is not one of such a method; nothing was changed.
        """
        ...

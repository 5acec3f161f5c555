"""The contract between a search method and what it is scored on.

A method calls nothing else of an objective, so it does not know whether it searches on a text or on tags. A new
objective is one new file whose class has these members.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from torch import Tensor, nn

Carry = Any
"""What goes from one batch of a stream to the next: a detached recurrent state, or None where batches have
nothing to do with each other. Only the objective looks into it; a method keeps it and hands it back."""


@dataclass(frozen=True)
class Layer:
    """The recurrent layer that an objective has room for; a method builds it, the objective's model calls it.

    Attributes:
        input_size: E.
        hidden_size: H, of one direction.
        bidirectional: Whether a second set of weights reads backwards; outputs are then 2 H wide.
        dropout_x: As in `CellRNN`.
        dropout_h: As in `CellRNN`.
        device: Where the weights are; None for the CPU.
        dtype: Of the weights; None for torch's default.
    """

    input_size: int
    hidden_size: int
    bidirectional: bool = False
    dropout_x: float = 0.0
    dropout_h: float = 0.0
    device: torch.device | None = None
    dtype: torch.dtype | None = None


@dataclass(frozen=True)
class Batch:
    """What one step reads.

    Attributes:
        content: For the objective alone.
        starts: Whether it starts a stream: the carry before it is None, whatever came from earlier batches.
        scale: Factor on the learning rate of the weights; language modelling has the segment's length divided
            by that of a full segment here, as the DARTS code does.
    """

    content: Any
    starts: bool = True
    scale: float = 1.0


class Outcome(NamedTuple):
    """What a model makes of a batch.

    Attributes:
        loss: Mean negative log-likelihood in nats a word, a scalar. Architectures are judged by it.
        penalised: The same with the penalties that the weights are trained under, such as activation
            regularisation; a scalar, and `loss` itself where there are none.
        carry: For the next batch of the stream, detached.
    """

    loss: Tensor
    penalised: Tensor
    carry: Carry


class Objective(Protocol):
    """What a candidate is scored on.

    Attributes:
        name: Such as `ptb`, for messages and records.
        metric: The key, in what `evaluate` returns, of the number that decides between candidates.
        lower_is_better: Of that number.
        layer: The recurrent layer that the model has room for.
    """

    name: str
    metric: str
    lower_is_better: bool
    layer: Layer

    def model(self, rnn: nn.Module, generator: torch.Generator) -> nn.Module:
        """Build the whole model around a recurrent layer.

        Args:
            rnn: A `CellRNN` or a `Supernet` of the sizes in `layer`, with its weights drawn. It is called as
                `rnn(input, hx)` with time-major input (T, B, E) or a PackedSequence, and gives
                `(output, h_n)`, as `CellRNN` says; whatever h_n is, it can be passed back as hx.
            generator: Draws the weights around it.

        Returns:
            A module that has `rnn` as a submodule, on the layer's device, in training mode. If it uses a
            weight in two places, as a tied decoder does, its attribute `tied_weights` is a tuple of the names
            of such parameters.
        """
        ...

    def train_batches(self, generator: torch.Generator) -> Iterator[Batch]:
        """Go once through the training data.

        Args:
            generator: Decides the order or the lengths; the same state gives the same batches.
        """
        ...

    def validation_batches(self, generator: torch.Generator) -> Iterator[Batch]:
        """Go through held-out data without end: what architectures are updated or judged on batch by batch.

        Args:
            generator: As in `train_batches`.
        """
        ...

    def loss(self, model: nn.Module, batch: Batch, carry: Carry) -> Outcome:
        """Run a model of `model` on a batch, in the mode (training or not) that it is in.

        Args:
            model: From `model`.
            batch: From `train_batches` or `validation_batches`.
            carry: Of the batch before, None where `batch.starts`.
        """
        ...

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Measure a model on all held-out data, without gradients and in evaluation mode.

        The model comes back in the mode that it had. No chance is used.

        Returns:
            Metrics by name, with `loss` (nats a word) and `metric` among them.
        """
        ...

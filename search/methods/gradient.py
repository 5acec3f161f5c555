"""Search by gradients: the part that DARTS, I-DARTS, ESS and DARTS-EGS have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch

from search.methods.architect import first_order, second_order
from search.methods.saving import Parts
from search.methods.shared_weights import check_finite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import Tensor, nn

    from cellzoo.cells.cell import Cell
    from search.methods.method import Distributions, Events, Judged, MethodState
    from search.methods.settings import ArchitectureSettings, BilevelSettings
    from search.methods.shared_weights import SharedWeights
    from search.objectives.objective import Batch
    from search.supernets.relaxation import Alphas


class Learner(Protocol):
    """Trains weights and architecture together, a batch at a time."""

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """Of the architecture."""
        ...

    def step(self, batch: Batch, validation: Iterator[Batch]) -> Events:
        """Learn from one training batch, as `Method.step`."""
        ...


class Bilevel:
    """The architecture learns from held-out data, then the weights from training data, on every batch.

    Args:
        shared: The supernet.
        relaxation: Its architecture.
        settings: How both are trained.
        rates: Group -> learning rate of its parameters, where it is not that of the settings.
        penalty: Added to the loss of the architecture.
    """

    def __init__(
        self,
        shared: SharedWeights,
        relaxation: Alphas,
        settings: BilevelSettings,
        *,
        rates: Mapping[str, float] | None = None,
        penalty: Callable[[], Tensor] | None = None,
    ) -> None:
        self.shared = shared
        self.settings = settings
        self.penalty = penalty
        self.optimizer = architecture_optimizer(relaxation, settings, rates or {})

    def step(self, batch: Batch, validation: Iterator[Batch]) -> Events:
        """Learn from one training batch and the next validation batch."""
        held_out = next(validation)
        if self.settings.order == 1:
            gradients, validation_loss = first_order(self.shared, held_out, self.penalty)
        else:
            gradients, validation_loss = second_order(self.shared, batch, held_out, self.settings, self.penalty)
        go(self.optimizer, self.shared.architecture, gradients)
        return {"validation_loss": validation_loss, "train_loss": self.shared.learn(batch)}


class Joint:
    """Architecture and weights learn from the same training loss in one step, without held-out data.

    Args:
        shared: The supernet.
        relaxation: Its architecture.
        settings: How both are trained.
        penalty: Added to the loss.
    """

    def __init__(
        self,
        shared: SharedWeights,
        relaxation: Alphas,
        settings: ArchitectureSettings,
        *,
        penalty: Callable[[], Tensor] | None = None,
    ) -> None:
        self.shared = shared
        self.penalty = penalty
        self.optimizer = architecture_optimizer(relaxation, settings, {})

    def step(self, batch: Batch, validation: Iterator[Batch]) -> Events:
        """Learn from one training batch."""
        outcome = self.shared.training_outcome(batch)
        loss = outcome.penalised if self.penalty is None else outcome.penalised + self.penalty()
        self.optimizer.zero_grad()
        self.shared.trainer.optimizer.zero_grad()
        loss.backward()
        for alpha in self.shared.architecture:
            if alpha.grad is not None:
                check_gradient(alpha.grad)
        self.shared.trainer.go(batch.scale)
        self.optimizer.step()
        self.shared.training.after(outcome)
        return {"train_loss": outcome.loss.item()}


class GradientSearch:
    """A `Method` that learns a relaxation of a supernet's architecture.

    Args:
        shared: The supernet in the objective's model.
        learner: Trains both.
        derive: Reads a cell off the architecture.
        at_epoch: Sets what changes with time, from the epoch and the number of all; returns what it set.
        conclude: What the search ends in, as `Method.conclude`; None for what `derive` gives.
        generators: Whatever else draws, by name, for the saved state.
    """

    def __init__(
        self,
        shared: SharedWeights,
        learner: Learner,
        *,
        derive: Callable[[], Cell],
        at_epoch: Callable[[int, int], Events] | None = None,
        conclude: Callable[[Iterator[Batch], Judged], Cell] | None = None,
        generators: Mapping[str, torch.Generator] | None = None,
    ) -> None:
        self.shared = shared
        self.learner = learner
        self._derive = derive
        self._at_epoch = at_epoch
        self._conclude = conclude
        self._parts = Parts(
            {"model": shared.model},
            {"weights": shared.trainer.optimizer, "architecture": learner.optimizer},
            generators or {},
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
        events = {
            "learning_rate": self.shared.settings.learning_rate,
            "architecture_learning_rate": self.learner.optimizer.param_groups[0]["lr"],
        }
        return events if self._at_epoch is None else events | self._at_epoch(epoch, epochs)

    def step(self, batch: Batch, validation: Iterator[Batch]) -> Events:
        """See `Method`."""
        return self.learner.step(batch, validation)

    def end_epoch(self, validation: Iterator[Batch]) -> Events:
        """Nothing is done once an epoch."""
        return {}

    def give_up(self) -> bool:
        """See `SharedWeights.is_sound`."""
        return self.shared.is_sound()

    def distribution(self) -> Distributions:
        """See `Method`."""
        return self.shared.supernet.relaxation.distribution()

    def derive(self) -> Cell:
        """See `Method`."""
        return self._derive()

    def conclude(self, validation: Iterator[Batch], judged: Judged) -> Cell:
        """See `Method`."""
        return self._derive() if self._conclude is None else self._conclude(validation, judged)

    def state(self) -> MethodState:
        """See `Method`."""
        return self._parts.save()

    def restore(self, state: MethodState) -> None:
        """See `Method`."""
        self._parts.restore(state)


def architecture_optimizer(
    relaxation: Alphas, settings: ArchitectureSettings, rates: Mapping[str, float]
) -> torch.optim.Adam:
    """Adam over an architecture, with its own learning rate for each group in `rates`."""
    groups = [
        {"params": [alpha], "lr": rates.get(group, settings.architecture_learning_rate)}
        for group, alpha in relaxation.alphas.items()
    ]
    return torch.optim.Adam(
        groups, betas=(settings.architecture_momentum, 0.999), weight_decay=settings.architecture_weight_decay
    )


def go(
    optimizer: torch.optim.Optimizer, parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor]
) -> None:
    """Let an optimiser step with these gradients; parameters without one stay as they are.

    Raises:
        RunError: A gradient is no finite number; nothing was changed.
    """
    for gradient in gradients:
        check_gradient(gradient)
    optimizer.zero_grad()
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    optimizer.step()


def check_gradient(gradient: Tensor) -> None:
    """Check a gradient of the architecture.

    Raises:
        RunError: It is no finite number.
    """
    check_finite(gradient.abs().sum().item(), "the gradient of the architecture")

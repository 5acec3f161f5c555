"""Gradient-based search: the common part of DARTS, I-DARTS, ESS and DARTS-EGS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch

from search.methods.architect import first_order, second_order
from search.methods.method import Method
from tasks.training.state import Parts, frozen_keys
from tasks.training.weights import check_finite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import Tensor, nn

    from cellzoo.cells.cell import Cell
    from search.methods.method import Progress
    from search.methods.settings import ArchitectureSettings, BilevelSettings
    from search.methods.shared_weights import SharedWeights
    from search.supernets.relaxation import Alphas, Distributions
    from tasks.problem import Batch
    from tasks.training.learner import Numbers
    from tasks.training.state import LearnerState


class Updates(Protocol):
    """Updates weights and architecture, one training batch at a time."""

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """Of the architecture."""
        ...

    def step(self, batch: Batch, validation: Iterator[Batch]) -> Numbers:
        """Make the updates of one training batch, as `Learner.step`."""
        ...


class Bilevel:
    """Bilevel optimisation: updates the architecture on held-out data, then the weights on training data.

    Args:
        shared: The supernet.
        relaxation: Its architecture.
        settings: Settings of both updates.
        rates: Group -> learning rate of its parameters, if it differs from that of the settings.
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

    def step(self, batch: Batch, validation: Iterator[Batch]) -> Numbers:
        """Make the updates of one training batch and the next validation batch."""
        held_out = next(validation)
        if self.settings.order == 1:
            gradients, validation_loss = first_order(self.shared, held_out, self.penalty)
        else:
            gradients, validation_loss = second_order(self.shared, batch, held_out, self.settings, self.penalty)
        descend(self.optimizer, self.shared.architecture, gradients)
        return {"validation_loss": validation_loss, "train_loss": self.shared.learn(batch)}


class Joint:
    """Joint optimisation: one update of architecture and weights on the training loss, without held-out data.

    Args:
        shared: The supernet.
        relaxation: Its architecture.
        settings: Settings of the architecture's update.
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

    def step(self, batch: Batch, validation: Iterator[Batch]) -> Numbers:
        """Make the update of one training batch.

        The factor of the loss, see `BatchLoss`, is applied to the gradients of the weights only.
        """
        result = self.shared.training_loss(batch)
        loss = result.penalised if self.penalty is None else result.penalised + result.factor * self.penalty()
        self.optimizer.zero_grad()
        self.shared.optimizer.optimizer.zero_grad()
        loss.backward()
        for alpha in self.shared.architecture:
            if alpha.grad is not None:
                alpha.grad /= result.factor
                check_gradient(alpha.grad)
        self.shared.optimizer.apply(batch.scale)
        self.optimizer.step()
        self.shared.training.after(result)
        return {"train_loss": result.loss.item()}


class GradientSearch(Method):
    """Trains a continuous relaxation of the architecture by gradient descent.

    Args:
        shared: The supernet in the problem's model.
        updates: Updates weights and architecture.
        derive: Derives a cell from the architecture.
        notation: As in `Method`.
        at_epoch: Is called at the start of each epoch with its number and the total number, to set what depends
            on them; returns these values for the log.
        conclude: As `Method.conclude`; None for the result of `derive`.
        generators: Random number generators by name, whose state is saved.
    """

    def __init__(
        self,
        shared: SharedWeights,
        updates: Updates,
        *,
        derive: Callable[[], Cell],
        notation: str,
        at_epoch: Callable[[int, int], Numbers] | None = None,
        conclude: Callable[[Iterator[Batch], Progress], Cell] | None = None,
        generators: Mapping[str, torch.Generator] | None = None,
    ) -> None:
        self.shared = shared
        self.updates = updates
        self.notation = notation
        self._derive = derive
        self._at_epoch = at_epoch
        self._conclude = conclude
        self._parts = Parts(
            {"model": shared.model},
            {"weights": shared.optimizer.optimizer, "architecture": updates.optimizer},
            generators or {},
            constant=frozen_keys("model", shared.model),
        )

    def start_epoch(self, epoch: int, epochs: int) -> Numbers:
        """See `Method`."""
        rates = {
            "learning_rate": self.shared.settings.learning_rate,
            "architecture_learning_rate": self.updates.optimizer.param_groups[0]["lr"],
        }
        return rates if self._at_epoch is None else rates | self._at_epoch(epoch, epochs)

    def step(self, batch: Batch, validation: Iterator[Batch]) -> Numbers:
        """See `Method`."""
        return self.updates.step(batch, validation)

    def distribution(self) -> Distributions:
        """See `Method`."""
        return self.shared.supernet.relaxation.distribution()

    def derive(self) -> Cell:
        """See `Method`."""
        return self._derive()

    def conclude(self, validation: Iterator[Batch], progress: Progress) -> Cell:
        """See `Method`."""
        return self._derive() if self._conclude is None else self._conclude(validation, progress)

    def state(self) -> LearnerState:
        """See `Method`."""
        return self._parts.save()

    def restore(self, state: LearnerState) -> None:
        """See `Method`."""
        self._parts.restore(state)


def architecture_optimizer(
    relaxation: Alphas, settings: ArchitectureSettings, rates: Mapping[str, float]
) -> torch.optim.Adam:
    """Make Adam for an architecture, with a separate learning rate for each group in `rates`."""
    groups = [
        {"params": [alpha], "lr": rates.get(group, settings.architecture_learning_rate)}
        for group, alpha in relaxation.alphas.items()
    ]
    return torch.optim.Adam(
        groups, betas=(settings.architecture_momentum, 0.999), weight_decay=settings.architecture_weight_decay
    )


def descend(
    optimizer: torch.optim.Optimizer, parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor]
) -> None:
    """Make an optimizer step with these gradients; other parameters are unchanged.

    Raises:
        RunError: A gradient is not finite; no parameter was changed.
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
        RunError: It is not finite.
    """
    check_finite(gradient.abs().sum().item(), "the gradient of the architecture")

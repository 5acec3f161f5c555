"""Optimizer steps with gradient clipping, and averages of weights over steps."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from cellzoo.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from torch import Tensor, nn

    from tasks.training.settings import OptimizerSettings

_OPTIMIZERS: Mapping[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}


class NotFiniteError(RunError):
    """A loss or a gradient is not finite."""


class WeightOptimizer:
    """An optimizer with gradient clipping.

    Args:
        weights: The parameters; those that require no gradient are left out.
        settings: Optimizer, learning rate, weight decay and clipping.
    """

    def __init__(self, weights: Iterable[nn.Parameter], settings: OptimizerSettings) -> None:
        self.weights = [weight for weight in weights if weight.requires_grad]
        self.settings = settings
        self.optimizer = _OPTIMIZERS[settings.optimizer](
            self.weights, lr=settings.learning_rate, weight_decay=settings.weight_decay
        )

    def step(self, loss: Tensor, scale: float) -> None:
        """Compute the gradient of a loss, and do one step.

        Args:
            loss: A scalar.
            scale: Factor on the learning rate.

        Raises:
            RunError: The gradient is not finite; the weights are as before.
        """
        self.optimizer.zero_grad()
        loss.backward()
        self.apply(scale)

    def apply(self, scale: float) -> None:
        """Do one step with the gradients that the weights have.

        Args:
            scale: Factor on the learning rate.

        Raises:
            RunError: They are not finite; the weights are as before.
        """
        norm = torch.nn.utils.clip_grad_norm_(self.weights, self.settings.clip)
        check_finite(norm.item(), "the norm of the gradient of the weights")
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * scale
        self.optimizer.step()

    def restart(self) -> None:
        """Reset the moments of the optimizer."""
        self.optimizer.state.clear()


class WeightAverage(torch.nn.Module):
    """The mean of weights over the steps since averaging began (Polyak and Juditsky 1992).

    The same mean as that of torch.optim.ASGD with lambd = 0 and t0 = 0. It is a module so that its state is
    saved like that of other modules.

    Args:
        weights: The parameters.
    """

    count: Tensor

    def __init__(self, weights: Iterable[nn.Parameter]) -> None:
        super().__init__()
        self._weights = list(weights)
        self.register_buffer("count", torch.zeros((), dtype=torch.long))
        for index, weight in enumerate(self._weights):
            self.register_buffer(f"mean{index}", weight.detach().clone())

    @property
    def is_active(self) -> bool:
        """Whether the mean covers at least one step."""
        return bool(self.count > 0)

    @torch.no_grad()
    def add(self) -> None:
        """Update the mean with the current weights."""
        self.count += 1
        for index, weight in enumerate(self._weights):
            mean = self.get_buffer(f"mean{index}")
            mean += (weight - mean) / self.count

    @torch.no_grad()
    def restart(self) -> None:
        """Reset the mean; it starts again at the next `add`."""
        self.count.zero_()
        for index, weight in enumerate(self._weights):
            self.get_buffer(f"mean{index}").copy_(weight)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the weights and their means; a second call undoes it."""
        for index, weight in enumerate(self._weights):
            mean = self.get_buffer(f"mean{index}")
            kept = weight.detach().clone()
            weight.copy_(mean)
            mean.copy_(kept)


@contextmanager
def frozen(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Switch `requires_grad` off for some parameters, and on again afterwards."""
    held = [parameter for parameter in parameters if parameter.requires_grad]
    for parameter in held:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in held:
            parameter.requires_grad_(True)


def check_finite(value: float, what: str) -> None:
    """Check that a number is finite.

    Raises:
        NotFiniteError: It is not.
    """
    if not math.isfinite(value):
        raise NotFiniteError(f"{what} is {value}; try a smaller learning_rate or clip")

"""Gradients of the architecture: first order, and second order with an unrolled training step.

Liu et al. 2019, "DARTS", section 2.3, settled by rnn/architect.py of quark0/darts.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tasks.training.weights import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from torch import nn

    from search.methods.settings import BilevelSettings
    from search.methods.shared_weights import SharedWeights
    from tasks.problem import Batch, BatchLoss

FINITE_STEP = 1e-2
"""Norm of the step of the finite difference, from Liu et al. 2019, section 2.3."""


def first_order(
    shared: SharedWeights, validation: Batch, penalty: Callable[[], Tensor] | None = None
) -> tuple[list[Tensor], float]:
    """Compute the gradient of the validation loss at the current weights.

    Args:
        shared: The supernet; the gradient is that of `shared.architecture`.
        validation: Held-out data.
        penalty: Added to the loss.

    Returns:
        A gradient for each parameter of the architecture, and the loss in nats a word.

    Raises:
        RunError: The loss is not finite.
    """
    with frozen(shared.weights):
        result = shared.validation_loss(validation)
        loss = result.loss if penalty is None else result.loss + penalty()
        return _gradients(loss, shared.architecture), result.loss.item()


def second_order(
    shared: SharedWeights,
    batch: Batch,
    validation: Batch,
    settings: BilevelSettings,
    penalty: Callable[[], Tensor] | None = None,
) -> tuple[list[Tensor], float]:
    """Compute the gradient of the validation loss at the weights after an unrolled step on a training batch.

        w' = w - eta (c g + decay w),        g = dL_train(w)/dw,   c = min(1, clip / |g|)
        dL_val(w')/dalpha - eta c (dL_train(w + R v)/dalpha - dL_train(w - R v)/dalpha) / 2R

    where v = dL_val(w')/dw', clipped, and R = 0.01 / |v|. Without `cap_coefficient` the second c is clip / |g|
    even if that is above 1, as in the DARTS code. Without `move_tied` tied weights in w' are those in w. Losses
    are without penalties on activations.

    Args:
        shared: The supernet; the weights are restored afterwards.
        batch: Training data.
        validation: Held-out data.
        settings: Learning rate, clipping, and the options of the second order.
        penalty: As in `first_order`.

    Returns:
        As in `first_order`.

    Raises:
        RunError: A loss is not finite.
    """
    weights, architecture = shared.weights, shared.architecture
    eta = settings.learning_rate * batch.scale
    masks = _Masks(next(shared.model.parameters()).device)
    slope = _gradients(_of_weights(shared.training_loss(batch)), weights)
    coefficient = settings.clip / (float(_norm(slope)) + 1e-6)
    factor = min(1.0, coefficient)
    stays = set() if settings.move_tied else set(map(id, shared.tied_weights))
    ahead = [
        weight.detach()
        if id(weight) in stays
        else weight.detach() - eta * (factor * gradient + settings.weight_decay * weight.detach())
        for weight, gradient in zip(weights, slope, strict=True)
    ]
    with _moved(weights, ahead), _kept(shared.supernet.buffers()):
        result = shared.validation_loss(validation)
        loss = result.loss if penalty is None else result.loss + penalty()
        gradients = _gradients(loss, [*architecture, *weights])
    direct, direction = gradients[: len(architecture)], gradients[len(architecture) :]
    length = float(_norm(direction))
    clipped = min(1.0, settings.clip / (length + 1e-6))
    direction = [part * clipped for part in direction]
    radius = FINITE_STEP / max(float(_norm(direction)), torch.finfo(direction[0].dtype).tiny)
    sides = []
    for sign in (1.0, -1.0):
        beside = [
            weight.detach() + sign * radius * part for weight, part in zip(weights, direction, strict=True)
        ]
        with _moved(weights, beside), frozen(weights), masks.again(same=settings.same_masks):
            sides.append(_gradients(_of_weights(shared.training_loss(batch)), architecture))
    correction = eta * (factor if settings.cap_coefficient else coefficient)
    found = [
        gradient - correction * (ahead_of - behind) / (2.0 * radius)
        for gradient, ahead_of, behind in zip(direct, *sides, strict=True)
    ]
    return found, result.loss.item()


def _of_weights(result: BatchLoss) -> Tensor:
    """The loss of the weights, without penalties on activations."""
    return result.loss * result.factor


class _Masks:
    """A snapshot of torch's default generators, to draw the same dropout masks again."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.states = self._states()

    @contextmanager
    def again(self, *, same: bool) -> Iterator[None]:
        """With `same`, draw from the snapshot, and restore the generators afterwards; otherwise do nothing."""
        if not same:
            yield
            return
        now = self._states()
        self._set(self.states)
        try:
            yield
        finally:
            self._set(now)

    def _states(self) -> list[Tensor]:
        states = [torch.get_rng_state()]
        return [*states, torch.cuda.get_rng_state(self.device)] if self.device.type == "cuda" else states

    def _set(self, states: Sequence[Tensor]) -> None:
        torch.set_rng_state(states[0])
        if len(states) > 1:
            torch.cuda.set_rng_state(states[1], self.device)


@contextmanager
def _kept(buffers: Iterable[Tensor]) -> Iterator[None]:
    """Restore buffers afterwards: unrolled weights must not affect running statistics (DARTS uses a copy)."""
    kept = [(buffer, buffer.clone()) for buffer in buffers]
    try:
        yield
    finally:
        for buffer, values in kept:
            buffer.copy_(values)


@contextmanager
def _moved(weights: Sequence[nn.Parameter], values: Sequence[Tensor]) -> Iterator[None]:
    """Set weights to other values, and restore them afterwards."""
    kept = [weight.detach().clone() for weight in weights]
    _set(weights, values)
    try:
        yield
    finally:
        _set(weights, kept)


@torch.no_grad()
def _set(weights: Sequence[nn.Parameter], values: Sequence[Tensor]) -> None:
    for weight, value in zip(weights, values, strict=True):
        weight.copy_(value)


def _gradients(loss: Tensor, parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    """Gradients of a loss; zero for parameters that it does not depend on."""
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return [
        torch.zeros_like(parameter) if gradient is None else gradient
        for parameter, gradient in zip(parameters, found, strict=True)
    ]


def _norm(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack([tensor.norm() for tensor in tensors]).norm()

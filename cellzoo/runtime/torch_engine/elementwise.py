"""Elementwise operations and products as functions that write to preallocated memory.

A builder gets the constant of its instruction, if any, then positions: of the target, the operands and scratch
memory. It returns a function of a tuple of tensors, which these positions index.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from cellzoo.cells.ops import LEAKY_RELU_SLOPE
from cellzoo.runtime.program import Op

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    Tensors = tuple[Tensor, ...]
    Action = Callable[[Tensors], object]

aten = torch.ops.aten

# Klambauer et al. 2017, "Self-Normalizing Neural Networks", equation 14, to the digits that torch.selu uses.
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def _sigmoid(t: int, a: int) -> Action:
    return (lambda s: s[t].sigmoid_()) if a == t else (lambda s: torch.sigmoid(s[a], out=s[t]))


def _tanh(t: int, a: int) -> Action:
    return (lambda s: s[t].tanh_()) if a == t else (lambda s: torch.tanh(s[a], out=s[t]))


def _relu(t: int, a: int) -> Action:
    return (lambda s: s[t].relu_()) if a == t else (lambda s: torch.clamp_min(s[a], 0, out=s[t]))


def blend_backward(t: int, g: int, a: int, b: int, scratch: int) -> Action:
    """Gradient of z in blend(z, a, b)."""
    place = scratch if t == g else t

    def action(s: Tensors) -> None:
        torch.sub(s[a], s[b], out=s[place])
        torch.mul(s[place], s[g], out=s[t])

    return action


def blend_backward_apart(t: int, g: int, a: int, b: int) -> Action:
    """The same with a temporary: the target may be memory of an operand."""
    return lambda s: torch.mul(s[a] - s[b], s[g], out=s[t])


def gather(t: int, *parts: int) -> Action:
    """Put values side by side."""
    return lambda s: torch.cat([s[part] for part in parts], dim=1, out=s[t])


def _minimum_backward(t: int, g: int, a: int, b: int) -> Action:
    def action(s: Tensors) -> None:
        # As in torch: 0 where the other operand is less, and half where they are equal.
        share = torch.where(s[a] == s[b], s[g] / 2, s[g])
        s[t].copy_(share.masked_fill_(s[a] > s[b], 0))

    return action


def _maximum_backward(t: int, g: int, a: int, b: int) -> Action:
    def action(s: Tensors) -> None:
        share = torch.where(s[a] == s[b], s[g] / 2, s[g])
        s[t].copy_(share.masked_fill_(s[a] < s[b], 0))

    return action


PLAIN: dict[Op, Callable[..., Action]] = {
    Op.COPY: lambda t, a: lambda s: s[t].copy_(s[a]),
    Op.SIGMOID: _sigmoid,
    Op.TANH: _tanh,
    Op.RELU: _relu,
    Op.LEAKY_RELU: lambda t, a: lambda s: aten.leaky_relu.out(s[a], LEAKY_RELU_SLOPE, out=s[t]),
    Op.SELU: lambda t, a: lambda s: aten.elu.out(s[a], _SELU_ALPHA, _SELU_SCALE, 1.0, out=s[t]),
    Op.EXP: lambda t, a: lambda s: torch.exp(s[a], out=s[t]),
    # torch.nn.functional.softplus is the identity above 20, which is too inexact for float64.
    Op.SOFTPLUS: lambda t, a: lambda s: s[t].copy_(torch.nn.functional.logsigmoid(-s[a]).neg_()),
    Op.SQRT: lambda t, a: lambda s: torch.sqrt(s[a], out=s[t]),
    Op.HARD_SIGMOID: lambda t, a: lambda s: aten.hardsigmoid.out(s[a], out=s[t]),
    Op.ADD: lambda t, a, b: lambda s: torch.add(s[a], s[b], out=s[t]),
    Op.SUBTRACT: lambda t, a, b: lambda s: torch.sub(s[a], s[b], out=s[t]),
    Op.MULTIPLY: lambda t, a, b: lambda s: torch.mul(s[a], s[b], out=s[t]),
    Op.DIVIDE: lambda t, a, b: lambda s: torch.div(s[a], s[b], out=s[t]),
    Op.MINIMUM: lambda t, a, b: lambda s: torch.minimum(s[a], s[b], out=s[t]),
    Op.MAXIMUM: lambda t, a, b: lambda s: torch.maximum(s[a], s[b], out=s[t]),
    Op.BLEND: lambda t, z, a, b: lambda s: torch.lerp(s[b], s[a], s[z], out=s[t]),
    Op.MULTIPLY_ADD: lambda t, a, b, c: lambda s: torch.addcmul(s[c], s[a], s[b], out=s[t]),
    Op.NEGATE: lambda t, a: lambda s: torch.neg(s[a], out=s[t]),
    Op.SIGMOID_BACKWARD: lambda t, g, r: (
        lambda s: aten.sigmoid_backward.grad_input(s[g], s[r], grad_input=s[t])
    ),
    Op.TANH_BACKWARD: lambda t, g, r: lambda s: aten.tanh_backward.grad_input(s[g], s[r], grad_input=s[t]),
    Op.RELU_BACKWARD: lambda t, g, r: (
        lambda s: aten.threshold_backward.grad_input(s[g], s[r], 0, grad_input=s[t])
    ),
    Op.LEAKY_RELU_BACKWARD: lambda t, g, r: (
        lambda s: aten.leaky_relu_backward.grad_input(s[g], s[r], LEAKY_RELU_SLOPE, True, grad_input=s[t])
    ),
    Op.SELU_BACKWARD: lambda t, g, r: (
        lambda s: aten.elu_backward.grad_input(s[g], _SELU_ALPHA, _SELU_SCALE, 1.0, True, s[r], grad_input=s[t])
    ),
    Op.MINIMUM_BACKWARD: _minimum_backward,
    Op.MAXIMUM_BACKWARD: _maximum_backward,
    Op.SOFTPLUS_BACKWARD: lambda t, g, r: lambda s: torch.mul(torch.expm1(-s[r]).neg_(), s[g], out=s[t]),
    Op.HARD_SIGMOID_BACKWARD: lambda t, g, r: (
        lambda s: s[t].copy_((s[g] / 6).masked_fill_((s[r] <= 0) | (s[r] >= 1), 0))
    ),
    Op.SQRT_BACKWARD: lambda t, g, r: lambda s: torch.div(s[g], s[r] * 2, out=s[t]),
}
"""Operations without constants, weights or scratch memory."""


def zero(t: int) -> Action:
    """Set every element to 0."""
    return lambda s: s[t].zero_()


def scale(factor: float, t: int, a: int) -> Action:
    """Multiply by a number."""
    return lambda s: torch.mul(s[a], factor, out=s[t])


def add_to_total(total: int, a: int) -> Action:
    """Add the sum over rows to a total with one number per unit."""
    return lambda s: s[total].add_(s[a].sum(0, dtype=s[total].dtype))


def product(source: int, matrix: int, target: int) -> Action:
    """Compute source @ matrix."""
    return lambda s: torch.mm(s[source], s[matrix], out=s[target])


def added_product(source: int, matrix: int, target: int) -> Action:
    """Add source @ matrix to the target."""
    return lambda s: s[target].addmm_(s[source], s[matrix])


def product_with_init(source: int, matrix: int, target: int, init: int) -> Action:
    """Compute init + source @ matrix."""
    return lambda s: torch.addmm(s[init], s[source], s[matrix], out=s[target])

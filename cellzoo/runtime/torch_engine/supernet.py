"""Operations of supernets: mixtures with learned weights, and batch normalisation without scale and shift."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from cellzoo.runtime.torch_engine.elementwise import Action, Tensors

aten = torch.ops.aten

NORM_EPSILON = 1e-5


def mixture(t: int, a: int, shares: int) -> Action:
    """p0 tanh(a) + p1 relu(a) + p2 sigmoid(a) + p3 a."""

    def action(s: Tensors) -> None:
        value = s[a]
        tanh, relu, sigmoid, identity = s[shares].unbind()
        result = value * identity
        scratch = torch.tanh(value)
        result.addcmul_(scratch, tanh)
        result.addcmul_(torch.clamp_min(value, 0, out=scratch), relu)
        result.addcmul_(torch.sigmoid(value, out=scratch), sigmoid)
        s[t].copy_(result)

    return action


def mixture_backward(t: int, g: int, a: int, shares: int, gradients: int) -> Action:
    """The gradient of a; also accumulates the gradients of the four mixture weights."""

    def action(s: Tensors) -> None:
        gradient, value = s[g], s[a]
        tanh, relu, sigmoid, identity = s[shares].unbind()
        of_tanh, of_relu, of_sigmoid, of_identity = s[gradients].unbind()
        of_identity.add_(_dot(gradient, value))
        result = gradient * identity
        known = torch.tanh(value)
        of_tanh.add_(_dot(gradient, known))
        result.addcmul_(aten.tanh_backward(gradient, known), tanh)
        torch.clamp_min(value, 0, out=known)
        of_relu.add_(_dot(gradient, known))
        result.addcmul_(aten.threshold_backward(gradient, known, 0), relu)
        torch.sigmoid(value, out=known)
        of_sigmoid.add_(_dot(gradient, known))
        result.addcmul_(aten.sigmoid_backward(gradient, known), sigmoid)
        s[t].copy_(result)

    return action


def parameter_scale(t: int, a: int, factor: int) -> Action:
    """A value times one parameter."""
    return lambda s: torch.mul(s[a], s[factor], out=s[t])


def parameter_scale_backward(t: int, g: int, a: int, factor: int, total: int) -> Action:
    """The gradient of a; also accumulates the gradient of the parameter."""

    def action(s: Tensors) -> None:
        s[total].add_(_dot(s[g], s[a]))
        torch.mul(s[g], s[factor], out=s[t])

    return action


def mixture_lanes(t: int, a: int, shares: int) -> Action:
    """`mixture` for several adjacent values."""

    def action(s: Tensors) -> None:
        value = s[a]
        tanh, relu, sigmoid, identity = s[shares].unbind()  # each (lanes, 1)
        result = value * identity
        scratch = torch.tanh(value)
        result.addcmul_(scratch, tanh)
        result.addcmul_(torch.clamp_min(value, 0, out=scratch), relu)
        torch.addcmul(result, torch.sigmoid(value, out=scratch), sigmoid, out=s[t])

    return action


def mixture_lanes_backward(t: int, g: int, a: int, shares: int, gradients: int) -> Action:
    """`mixture_backward` for several adjacent values."""

    def action(s: Tensors) -> None:
        gradient, value = s[g], s[a]
        tanh, relu, sigmoid, identity = s[shares].unbind()
        known = torch.tanh(value)
        result = gradient * identity
        sums = [_lane_sums(gradient, known)]
        result.addcmul_(aten.tanh_backward(gradient, known), tanh)
        sums.append(_lane_sums(gradient, torch.clamp_min(value, 0, out=known)))
        result.addcmul_(aten.threshold_backward(gradient, known, 0), relu)
        sums.append(_lane_sums(gradient, torch.sigmoid(value, out=known)))
        sums.append(_lane_sums(gradient, value))
        s[gradients].add_(torch.stack(sums).unsqueeze(2))
        torch.addcmul(result, aten.sigmoid_backward(gradient, known), sigmoid, out=s[t])

    return action


def parameter_scale_lanes(t: int, a: int, factors: int) -> Action:
    """`parameter_scale` for several adjacent values."""
    return lambda s: torch.mul(s[a], s[factors][0], out=s[t])


def parameter_scale_lanes_backward(t: int, g: int, a: int, factors: int, totals: int) -> Action:
    """`parameter_scale_backward` for several adjacent values."""

    def action(s: Tensors) -> None:
        s[totals][0, :, 0].add_(_lane_sums(s[g], s[a]))
        torch.mul(s[g], s[factors][0], out=s[t])

    return action


def normalise(source: int, result: int, statistics: int, moments: int) -> Action:
    """Normalise each unit to mean 0 and variance 1 over the rows, or a single row over its units.

    `statistics` gets 1 / standard deviation in its first row; mean and variance over several rows go to
    `moments`.
    """

    def action(s: Tensors) -> None:
        value = s[source]
        single = value.size(0) == 1
        # Each (1, width), or (1, 1) of a single row.
        variance, mean = torch.var_mean(value, int(single), correction=0, keepdim=True)
        found = cast("list[tuple[Tensor, Tensor]] | None", s[moments])
        if found is not None and not single:
            found.append((mean, variance))
        scale = (variance + NORM_EPSILON).rsqrt_()
        torch.sub(value, mean, out=s[result]).mul_(scale)
        s[statistics].narrow(0, 0, 1).copy_(scale)

    return action


def normalise_backward(gradient: int, result: int, statistics: int, target: int) -> Action:
    """The gradient of the input of `normalise`."""

    def action(s: Tensors) -> None:
        g, y = s[gradient], s[result]
        over = int(g.size(0) == 1)
        share = y * (g * y).mean(over, keepdim=True)
        torch.sub(g, share.add_(g.mean(over, keepdim=True)), out=s[target])
        s[target].mul_(s[statistics].narrow(0, 0, 1))

    return action


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return torch.dot(a.reshape(-1), b.reshape(-1))


def _lane_sums(a: Tensor, b: Tensor) -> Tensor:
    """The sum of products of each lane, (lanes,)."""
    return (a * b).sum((0, 2))

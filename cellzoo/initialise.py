"""Initialisation of weights by the rules of `cellzoo.cells.initial`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from cellzoo.cells.initial import CONSTANT, Rule

if TYPE_CHECKING:
    from collections.abc import Callable

INITS = ("uniform", "published")
"""Uniform in ±1 / sqrt(H) for every weight, or the published rules of the cell where it has some."""


@torch.no_grad()
def draw(weight: Tensor, rule: Rule | None, bound: float, generator: torch.Generator | None) -> None:
    """Initialise a weight in place.

    Args:
        weight: The weight; block-diagonal ones as (rows, columns / heads).
        rule: The rule; None for uniform in ±`bound`.
        bound: See `rule`.
        generator: Random number generator; None for torch's default.
    """
    if rule is None:
        weight.uniform_(-bound, bound, generator=generator)
        return
    _RULES[rule.name](weight, rule, generator)


def _uniform(weight: Tensor, rule: Rule, generator: torch.Generator | None) -> None:
    low, high = rule.numbers[0], rule.numbers[-1]
    weight.uniform_(-high if len(rule.numbers) == 1 else low, high, generator=generator)


def _glorot(weight: Tensor, rule: Rule, generator: torch.Generator | None) -> None:
    rows, columns = weight.shape
    gates = rule.numbers[0] if rule.numbers else 1
    bound = math.sqrt(6 / (columns + gates * (rows // rule.heads)))
    weight.uniform_(-bound, bound, generator=generator)


def _lecun(weight: Tensor, rule: Rule, generator: torch.Generator | None) -> None:
    del rule
    weight.normal_(0.0, 1 / math.sqrt(weight.size(1)), generator=generator)


def _he(weight: Tensor, rule: Rule, generator: torch.Generator | None) -> None:
    bound = math.sqrt(6 / ((1 + rule.numbers[0] ** 2) * weight.size(1)))
    weight.uniform_(-bound, bound, generator=generator)


def _orthogonal(weight: Tensor, rule: Rule, generator: torch.Generator | None) -> None:
    for block in weight.chunk(rule.heads):
        nn.init.orthogonal_(block, generator=generator)


def _chrono(weight: Tensor, rule: Rule, generator: torch.Generator | None) -> None:
    (length,) = rule.numbers
    weight.uniform_(1.0, abs(length) - 1.0, generator=generator).log_().mul_(math.copysign(1.0, length))


def _power(weight: Tensor, rule: Rule, generator: torch.Generator | None) -> None:
    del generator
    first, last, exponent = rule.numbers
    units = weight.size(0) // rule.heads
    share = torch.arange(units, dtype=weight.dtype, device=weight.device) / max(1, units - 1)
    weight.copy_((first + (last - first) * share**exponent).repeat(rule.heads).view(weight.shape))


def _ring(weight: Tensor, rule: Rule, generator: torch.Generator | None) -> None:
    low, high = rule.numbers
    weight.uniform_(low**2, high**2, generator=generator)
    weight.log_().mul_(-0.5).expm1_().log_()


_RULES: dict[str, Callable[[Tensor, Rule, torch.Generator | None], object]] = {
    CONSTANT: lambda weight, rule, generator: weight.fill_(rule.numbers[0]),
    "uniform": _uniform,
    "normal": lambda weight, rule, generator: weight.normal_(0.0, rule.numbers[0], generator=generator),
    "glorot_uniform": _glorot,
    "lecun_normal": _lecun,
    "he_uniform": _he,
    "orthogonal": _orthogonal,
    "chrono": _chrono,
    "power": _power,
    "ring": _ring,
}

"""The gates of ESS in a supernet.

Li et al. 2020, "Learning Architectures from an Extended Search Space for Language Modeling", section 3: the
previous state is multiplied by a gate that is computed from past inputs, and the input by a gate that is
computed from past states,

    gate = mean over i = 1, ..., m of s_i,     s_i = sum over k of theta_ik f_k(W_i e_i)

where e_i is the input, or the state, i steps back, and `drop` gives 0. The mean is over the steps that exist;
if there are none, the gate is 1.

The recurrent states of a supernet with gates, so that the segments of a text give the same result as the whole:

    h, h2, ..., hm      the states 1 to m steps back          (B, H)
    x1, ..., xm         the inputs 1 to m steps back          (B, E)
    seen                how many steps there have been        (B, 1)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from cellzoo.cells.ops import PRIMITIVES
from cellzoo.notations.ess import DIAG, DROP, SHARED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from search.supernets.layout import Layout


class History(NamedTuple):
    """The recurrent states of a supernet with gates.

    Attributes:
        hidden: States 1, 2, ... steps back, each (b, H).
        inputs: Inputs 1, 2, ... steps back, each (b, E).
        seen: Steps so far, (b, 1).
    """

    hidden: Sequence[Tensor]
    inputs: Sequence[Tensor]
    seen: Tensor

    @classmethod
    def of(cls, states: Sequence[Tensor]) -> History:
        """Split a sequence of states."""
        delay = len(states) // 2
        return cls(states[:delay], states[delay : 2 * delay], states[2 * delay])

    def after(self, x: Tensor, output: Tensor) -> list[Tensor]:
        """The next states after a step with input x and this output."""
        return [output, *self.hidden[:-1], x, *self.inputs[:-1], self.seen + 1]


def gate(
    layout: Layout,
    name: str,
    past: Sequence[Tensor],
    seen: Tensor,
    weights: Mapping[str, Tensor],
    mixture: Tensor,
    mask: Tensor | None,
) -> Tensor:
    """Compute one gate.

    Args:
        layout: With a delay.
        name: `past_inputs`, for the gate on h, or `past_states`, for the gate on x.
        past: The values that it reads, 1, 2, ... steps back, each (b, E) or (b, H).
        seen: Steps so far, (b, 1).
        weights: All weights of the supernet.
        mixture: (m, K).
        mask: Factor on the values in matrix products.

    Returns:
        The gate, with the width of the value that it multiplies.
    """
    total: Tensor | None = None
    for index, value in enumerate(past):
        product = _product(layout, f"{name}_w", index + 1, value, weights, mask)
        exists = (seen > index).to(value.dtype)  # (b, 1)
        for share, op in zip(mixture[index], layout.past_operations, strict=True):
            forward = PRIMITIVES[op].forward if op != DROP else None
            if forward is not None:
                term = exists * (share * forward(product))
                total = term if total is None else total + term
    assert total is not None  # noqa: S101 - a layout has an operation besides `drop`
    count = seen.clamp(max=len(past))  # (b, 1)
    return torch.where(count > 0, total / count.clamp(min=1), torch.ones_like(total))


def _product(
    layout: Layout,
    name: str,
    delay: int,
    value: Tensor,
    weights: Mapping[str, Tensor],
    mask: Tensor | None,
) -> Tensor:
    if layout.inter_weights == DIAG:
        return value * weights[f"{name}{delay}"]
    masked = value if mask is None else value * mask
    if layout.inter_weights == SHARED:
        return masked @ weights[name]
    if layout.rank:
        return masked @ weights[f"{name}{delay}_in"] @ weights[f"{name}{delay}_out"]
    return masked @ weights[f"{name}{delay}"]

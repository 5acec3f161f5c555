"""One walk over the steps of a packed batch, for whatever is computed step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class Step(Protocol):
    """What happens at one step, to the b rows that are active there."""

    def __call__(
        self, t: int, x: Tensor, states: Sequence[Tensor], mask_x: Tensor | None, mask_h: Tensor | None, /
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """Compute the output and the states after the step.

        Args:
            t: Which step it is, from 0, in either direction.
            x: (b, E).
            states: The states before it, each (b, its width).
            mask_x: (b, E), or None.
            mask_h: (b, H), or None.
        """


def walk(
    step: Step,
    inputs: Tensor,
    batch_sizes: Sequence[int],
    states: Sequence[Tensor],
    *,
    reverse: bool = False,
    mask_x: Tensor | None = None,
    mask_h: Tensor | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Take the steps in order; rows join and leave as the batch sizes say.

    Args:
        step: What is computed at each.
        inputs: (N, E), the rows of the steps one after another, as in a PackedSequence.
        batch_sizes: Active rows of each step, never growing with t.
        states: Initial states, each (B, its width).
        reverse: From the last step to the first.
        mask_x: (B, E), or None.
        mask_h: (B, H), or None.

    Returns:
        Outputs (N, H), and for each state what every row had last, (B, its width).
    """
    xs = inputs.split(list(batch_sizes))
    order = range(len(xs) - 1, -1, -1) if reverse else range(len(xs))
    outputs: list[Tensor] = [inputs] * len(xs)
    current: Sequence[Tensor] = [state[: batch_sizes[order[0]]] for state in states]
    finished: list[list[Tensor]] = []
    for t in order:
        rows, active = batch_sizes[t], current[0].size(0)
        if rows < active:
            finished.append([state[rows:] for state in current])
            current = [state[:rows] for state in current]
        elif rows > active:
            pairs = zip(current, states, strict=True)
            current = [torch.cat([state, initial[active:rows]]) for state, initial in pairs]
        masks = [None if mask is None else mask[:rows] for mask in (mask_x, mask_h)]
        outputs[t], current = step(t, xs[t], current, masks[0], masks[1])
    parts = [current, *reversed(finished)]
    return torch.cat(outputs), tuple(torch.cat([part[index] for part in parts]) for index in range(len(states)))

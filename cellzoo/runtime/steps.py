"""The loop over the steps of a packed batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class Step(Protocol):
    """A function that computes one step for the b active rows."""

    def __call__(
        self, t: int, x: Tensor, states: Sequence[Tensor], mask_x: Tensor | None, mask_h: Tensor | None, /
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """Compute the output and the states after the step.

        Args:
            t: Number of the step, from 0, in either direction.
            x: (b, E).
            states: The states before the step, each (b, width).
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
    """Call a function for each step, with the rows that are active at it.

    Args:
        step: The function.
        inputs: (N, E), packed as in a PackedSequence.
        batch_sizes: Active rows of each step, non-increasing.
        states: Initial states, each (B, width).
        reverse: Process the steps from the last to the first.
        mask_x: (B, E), or None.
        mask_h: (B, H), or None.

    Returns:
        Outputs (N, H), and the final states of all sequences, each (B, width).
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

"""Gradient checkpointing: layers are recomputed in the backward pass instead of storing activations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cellzoo.layer import CellRNN

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor


class CheckpointedRNN(CellRNN):
    """A `CellRNN` with gradient checkpointing as in transformers: one checkpoint per layer and direction.

    Attributes:
        gradient_checkpointing: Whether it is on; set by transformers, as is `_gradient_checkpointing_func`.
    """

    gradient_checkpointing = False
    _gradient_checkpointing_func: Callable[..., Any]

    def _run_direction(
        self, index: int, data: Tensor, states: Sequence[Tensor], **options: Any
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        if not (self.gradient_checkpointing and self.training):
            return super()._run_direction(index, data, states, **options)

        def run(data: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
            output, final = super(CheckpointedRNN, self)._run_direction(index, data, states, **options)
            return output, *final

        if not any(tensor.requires_grad for tensor in (data, *states)):
            # A reentrant checkpoint gives weights gradients only if one of its inputs requires a gradient.
            data = data.detach().requires_grad_()
        output, *final = self._gradient_checkpointing_func(run, data, *states)
        return output, tuple(final)

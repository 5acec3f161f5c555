"""A call as one differentiable function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from cellzoo.runtime.autocast import without_autocast
from cellzoo.runtime.once import differentiable_never, refuse_batched
from cellzoo.runtime.torch_engine.call import Arguments

if TYPE_CHECKING:
    from torch import Tensor

    from cellzoo.runtime.torch_engine.call import CallForm
    from cellzoo.runtime.torch_engine.recordings import Recordings


class Run(torch.autograd.Function):
    """Outputs and final states of a call; differentiable once."""

    @staticmethod
    def forward(
        ctx: Any, call: CallForm, recordings: Recordings, states: int, *flat: Tensor | None
    ) -> tuple[Tensor, ...]:
        """Run the forward walk, and keep what the walk back needs."""
        ctx.call, ctx.states = call, states
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*flat)
        results, ctx.walk_back = recordings.run(call, Arguments.of(flat, states))
        if call.moments:
            ctx.mark_non_differentiable(results[-1])
        return results

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """Run the walk back.

        It overwrites what the forward walk kept, and lets go of it, so a second walk back over a graph that
        was retained runs the forward walk again.

        Raises:
            CellzooError: The gradients are a batch of several, as for a vectorised Jacobian.
        """
        refuse_batched("torch", gradients)
        flat = ctx.saved_tensors
        walk_back, ctx.walk_back = ctx.walk_back, None
        with torch.no_grad(), without_autocast(flat[0].device):
            if walk_back is None:
                execution, _ = ctx.call.forward(Arguments.of(flat, ctx.states))
                found = ctx.call.backward(execution, gradients)
            else:
                found = walk_back(gradients)
        wanted = [
            None if value is None or given is None or not needed else value.to(given.dtype)
            for value, given, needed in zip(found, flat, ctx.needs_input_grad[3:], strict=True)
        ]
        if torch.is_grad_enabled():
            wanted = differentiable_never("torch", wanted, [*gradients, *flat])
        return (None, None, None, *wanted)

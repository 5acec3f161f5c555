"""The autograd function of a call."""

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
    """Computes outputs and final states of a call; supports first derivatives only."""

    @staticmethod
    def forward(
        ctx: Any, call: CallForm, recordings: Recordings, states: int, *flat: Tensor | None
    ) -> tuple[Tensor, ...]:
        """Run the forward pass, and keep what the backward pass needs."""
        ctx.call, ctx.states = call, states
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*flat)
        results, ctx.run_backward = recordings.run(call, Arguments.of(flat, states))
        if call.moments:
            ctx.mark_non_differentiable(results[-1])
        return results

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """Run the backward pass.

        It overwrites and releases what the forward pass kept, so another backward pass over a retained graph
        runs the forward pass again.

        Raises:
            CellzooError: The gradients are batched, as for a vectorised Jacobian.
        """
        refuse_batched("torch", gradients)
        flat = ctx.saved_tensors
        run_backward, ctx.run_backward = ctx.run_backward, None
        with torch.no_grad(), without_autocast(flat[0].device):
            if run_backward is None:
                execution, _ = ctx.call.forward(Arguments.of(flat, ctx.states))
                found = ctx.call.backward(execution, gradients)
            else:
                found = run_backward(gradients)
        wanted = [
            None if value is None or given is None or not needed else value.to(given.dtype)
            for value, given, needed in zip(found, flat, ctx.needs_input_grad[3:], strict=True)
        ]
        if torch.is_grad_enabled():
            wanted = differentiable_never("torch", wanted, [*gradients, *flat])
        return (None, None, None, *wanted)

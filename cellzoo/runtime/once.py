"""Shared code of engines that support first derivatives only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch._C._functorch import is_batchedtensor, is_legacy_batchedtensor

from cellzoo.errors import CellzooError
from cellzoo.runtime.plan import Variant

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def variant_of(
    engine: str,
    inputs: Tensor,
    others: Iterable[Tensor | None],
    mask_x: Tensor | None,
    mask_h: Tensor | None,
) -> Variant:
    """The variant of a model's plan that a call needs.

    Args:
        engine: Name of the engine, for messages.
        inputs: x.
        others: Other tensors that may require a gradient.
        mask_x: As in `cellzoo.runtime.Runtime`.
        mask_h: As in `cellzoo.runtime.Runtime`.

    Raises:
        CellzooError: A mask requires a gradient, which plans do not compute.
    """
    if any(mask is not None and mask.requires_grad for mask in (mask_x, mask_h)):
        raise CellzooError(f"the engine {engine!r} gives no gradients of masks; {ADVICE}")
    training = torch.is_grad_enabled() and any(
        tensor is not None and tensor.requires_grad for tensor in (inputs, *others)
    )
    return Variant(training, mask_x is not None, mask_h is not None, training and inputs.requires_grad)


ADVICE = 'run the layer inside `with cellzoo.runtime.using("reference"):`, or build it with runtime="reference"'


def differentiable_never(
    engine: str, results: Sequence[Tensor | None], sources: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """Mark gradients so that differentiating them raises an error with advice, instead of giving wrong results.

    Args:
        engine: Name of the engine, for the message.
        results: The gradients, or None.
        sources: The tensors they were computed from.
    """
    given = [value for value in results if value is not None]
    rest = [source for source in sources if source is not None and source.requires_grad]
    marked = iter(_Never.apply(engine, len(given), *given, *rest) if given else ())
    return [None if value is None else next(marked) for value in results]


def refuse_batched(engine: str, gradients: Sequence[Tensor | None]) -> None:
    """Refuse batched gradients, as `is_grads_batched` and `vectorize` of torch give them.

    Raises:
        CellzooError: The gradients are batched.
    """
    kinds = (is_batchedtensor, is_legacy_batchedtensor)
    if any(kind(gradient) for gradient in gradients if gradient is not None for kind in kinds):
        raise CellzooError(
            f"the engine {engine!r} takes one gradient of each result at a time; {ADVICE} for batched gradients"
        )


class _Never(torch.autograd.Function):
    """The identity on gradients, whose derivative is an error."""

    @staticmethod
    def forward(ctx: Any, engine: str, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Return the first `count` tensors; the others make the result depend on them."""
        ctx.engine = engine
        return tuple(tensor.view_as(tensor) for tensor in tensors[:count])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """Refuse to differentiate.

        Raises:
            CellzooError: Always.
        """
        raise CellzooError(
            f"the engine {ctx.engine!r} gives first derivatives only; {ADVICE} to differentiate gradients"
        )

"""Whether candidates that run one cell compute the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

# Of the norm. Far above rounding, which some cells amplify from step to step, and far below a wrong result.
# Single numbers may differ by more: where rounding carries a value across the kink of a relu, the gradient of
# one sequence jumps.
TOLERANCES = {torch.float32: 1e-3, torch.float64: 1e-8}


def disagreement(found: Sequence[Tensor], expected: Sequence[Tensor]) -> str:
    """Say how results differ from the loop's, or nothing where they agree.

    Args:
        found: Outputs (T, B, H), and in training the gradient of x (T, B, E).
        expected: The same of the loop.
    """
    for what, one, other in zip(("outputs", "gradients of x"), found, expected, strict=False):
        if one.shape != other.shape:
            return f"its {what} have shape {tuple(one.shape)}, the loop's {tuple(other.shape)}"
        if not torch.equal(one.isfinite(), other.isfinite()):
            return f"its {what} differ from the loop's in where they are finite"
        scale = other.nan_to_num(0.0, 0.0, 0.0).norm().item() or 1.0
        apart = (one - other).nan_to_num(0.0, 0.0, 0.0).norm().item() / scale
        if apart > TOLERANCES[other.dtype]:
            return f"its {what} differ from the loop's by {apart:.1e} of their norm"
    return ""

"""The weights that a layer runs with, which need not be its parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from cellzoo.direction import Direction


@torch.no_grad()
def weights_in_use(direction: Direction) -> dict[str, Tensor]:
    """Return the weights that the next call in eval mode would run with.

    They are taken from a call, so that hooks (weight and spectral norm, pruning, offloading) have run.
    """
    seen: dict[str, Tensor] = {}

    def run(data: Tensor, _: Any, __: Any, weights: Mapping[str, Tensor], **___: Any) -> Any:
        seen.update({name: value.detach() for name, value in weights.items()})
        return data, ()

    training = direction.training
    direction.eval()
    vars(direction)["_run"] = run  # instead of any engine
    try:
        direction(torch.zeros(1, 1), [1], [], reverse=False, mask_x=None, mask_h=None)
    finally:
        del vars(direction)["_run"]
        direction.train(training)
    return seen

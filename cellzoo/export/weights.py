"""The weights that a layer runs with, which need not be its parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from cellzoo.direction import Direction


@torch.no_grad()
def weights_in_use(direction: Direction) -> dict[str, Tensor]:
    """Give a direction's weights as its next call outside of training has them.

    What hooks that call (weight and spectral norm, pruning, offloading) has then done its work.
    """
    seen: dict[str, Tensor] = {}

    def engine(data: Tensor, *_: Any, **__: Any) -> Any:
        seen.update({name: value.detach() for name, value in direction.weights.items()})
        return data, ()

    training, used, resting = direction.training, direction.engine, direction.resting
    direction.eval()
    direction.engine, direction.resting = cast("Any", engine), None
    try:
        direction(torch.zeros(1, 1), [1], [], reverse=False, mask_x=None, mask_h=None)
    finally:
        direction.engine, direction.resting = used, resting
        direction.train(training)
    return seen

"""What autocast makes of a pass: products and results in its dtype, where the tensors are not float64."""

from __future__ import annotations

from contextlib import contextmanager
from functools import reduce
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import Tensor


def autocast_dtype(device: torch.device) -> torch.dtype | None:
    """What autocast makes of products on a device, or None where it is off or unknown."""
    if torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type):
        return torch.get_autocast_dtype(device.type)
    return None


@contextmanager
def without_autocast(device: torch.device) -> Iterator[None]:
    """Compute in the dtype of the tensors, whatever autocast says."""
    if autocast_dtype(device) is not None:
        with torch.autocast(device.type, enabled=False):
            yield
    else:
        yield


def widest_dtype(tensors: Iterable[Tensor]) -> torch.dtype:
    """The dtype that holds the numbers of all of them."""
    return reduce(torch.promote_types, (tensor.dtype for tensor in tensors))


def result_dtype(tensors: Iterable[Tensor], autocast: torch.dtype | None) -> torch.dtype:
    """The dtype of the outputs and the states that a layer gives.

    Under autocast that is autocast's, as of torch.nn.LSTM on GPUs, and for padded input on the CPU; for packed
    input torch.nn.LSTM keeps the dtype of x there. Within a pass states are not rounded from step to step.

    Args:
        tensors: x and the states.
        autocast: As `autocast_dtype` gives it.
    """
    widest = widest_dtype(tensors)
    return widest if autocast is None or widest == torch.float64 else autocast

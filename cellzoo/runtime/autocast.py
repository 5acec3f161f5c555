"""Dtypes under torch.autocast: products and results have its dtype, unless the tensors are float64."""

from __future__ import annotations

from contextlib import contextmanager
from functools import reduce
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import Tensor


def autocast_dtype(device: torch.device) -> torch.dtype | None:
    """The dtype of products under autocast on a device; None if it is off or not supported."""
    if torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type):
        return torch.get_autocast_dtype(device.type)
    return None


@contextmanager
def without_autocast(device: torch.device) -> Iterator[None]:
    """Disable autocast on a device."""
    if autocast_dtype(device) is not None:
        with torch.autocast(device.type, enabled=False):
            yield
    else:
        yield


def widest_dtype(tensors: Iterable[Tensor]) -> torch.dtype:
    """The promoted dtype of all tensors."""
    return reduce(torch.promote_types, (tensor.dtype for tensor in tensors))


def result_dtype(tensors: Iterable[Tensor], autocast: torch.dtype | None) -> torch.dtype:
    """The dtype of the outputs and the states that a layer returns.

    Under autocast it is that of autocast, as for torch.nn.LSTM on GPUs, and on the CPU for padded input (for
    packed input on the CPU torch.nn.LSTM keeps the dtype of x). States are not rounded between the steps of a
    pass.

    Args:
        tensors: x and the states.
        autocast: As `autocast_dtype` gives it.
    """
    widest = widest_dtype(tensors)
    return widest if autocast is None or widest == torch.float64 else autocast

"""States of a recurrent layer between two batches of a stream."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def detach(carry: Any) -> Any:
    """Cut a state off from the batch that made it, whatever tuples and lists it is made of."""
    if isinstance(carry, Tensor):
        return carry.detach()
    if isinstance(carry, tuple | list):
        return tuple(detach(part) for part in carry)
    return carry

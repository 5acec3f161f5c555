"""What a run says where memory ends."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from cellzoo.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Iterator

_ON_CPU = ("can't allocate memory", "Storage size calculation overflowed")
"""torch has no class of its own for these errors on a CPU."""


@contextmanager
def memory_errors(place: str) -> Iterator[None]:
    """Turn the error of memory that ran out into one that says what to do.

    Args:
        place: What the message begins with: the run, or what else was tried.

    Raises:
        RunError: Memory ran out.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not (
            isinstance(error, MemoryError | torch.OutOfMemoryError)
            or any(words in str(error) for words in _ON_CPU)
        ):
            raise
        raise RunError(
            f"{place}: memory ran out; everything written before is kept. Take a smaller model or batch, "
            "such as --set hidden_size=64"
        ) from error

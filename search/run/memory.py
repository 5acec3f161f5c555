"""What a search says where memory ends."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from cellzoo.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ON_CPU = "can't allocate memory"
"""torch has no class of its own for this error on a CPU."""


@contextmanager
def memory_errors(path: Path) -> Iterator[None]:
    """Turn the error of memory that ran out into one that says what to do.

    Args:
        path: The directory of the search.

    Raises:
        RunError: Memory ran out.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not (isinstance(error, MemoryError | torch.OutOfMemoryError) or _ON_CPU in str(error)):
            raise
        raise RunError(
            f"{path}: memory ran out; everything written before is kept. Search in another directory with a "
            "smaller model or batch, such as --set hidden_size=64"
        ) from error

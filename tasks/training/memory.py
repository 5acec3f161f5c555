"""How much memory a run takes, and what it says where memory ends."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from cellzoo.errors import RunError
from cellzoo.system.resident import peak, start_peak

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMORY_RAN_OUT = (
    "memory ran out; everything written before is kept. Take a smaller model or batch, such as "
    "--set hidden_size=64, or fewer --workers"
)
_ON_CPU = (
    "can't allocate memory",
    "not enough memory",
    "Storage size calculation overflowed",
    "multiplication overflow",
    "ALLOC_FAILED",
    "array is too big",
)
"""torch and numpy have no class of their own for these errors."""


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
    except (MemoryError, RuntimeError, ValueError, OSError) as error:
        if not is_out_of_memory(error):
            raise
        raise RunError(f"{place}: {MEMORY_RAN_OUT}") from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on a CPU or on a GPU."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        words in str(error) for words in _ON_CPU
    )


def start_peak_memory(device: torch.device) -> None:
    """Forget what was in use before, where that can be done: several runs may follow in one process."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        start_peak()


def peak_memory(device: torch.device) -> int:
    """The most bytes that were in use since then: of the GPU's tensors, or of this process."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak()

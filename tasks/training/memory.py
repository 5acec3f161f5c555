"""Peak memory of a run, and a clear error when memory runs out."""

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
"""Parts of the messages of out-of-memory errors on a CPU, for which torch and numpy have no exception class."""


@contextmanager
def memory_errors(place: str) -> Iterator[None]:
    """Replace out-of-memory errors by a `RunError` that says what to do.

    Args:
        place: Start of the message: the run or the operation.

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
    """Tell whether an error is an out-of-memory error of a CPU or of a GPU."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        words in str(error) for words in _ON_CPU
    )


def start_peak_memory(device: torch.device) -> None:
    """Reset the peak, where the system can, since one process may execute several runs."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        start_peak()


def peak_memory(device: torch.device) -> int:
    """Return the peak in bytes since `start_peak_memory`: of tensors on the GPU, or of this process."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak()

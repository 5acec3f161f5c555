"""Settings of the C library's memory allocator."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
_KEPT = 1 << 30
_LARGEST = 32 << 20  # the maximum that glibc accepts on 64-bit systems


def keep_freed_memory() -> bool:
    """Let this process keep up to 1 GiB of freed memory, to reuse it in the next training step.

    By default glibc returns the memory of a batch's logits to the system after each step, and the next step
    takes page faults on it: a fifth of the time of a small language model. Setting the thresholds also disables
    their dynamic adjustment.

    Returns:
        Whether the allocator is glibc's and accepted the settings.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # TypeError: Windows has no library of the process itself
        return False
    return bool(mallopt(_TRIM_THRESHOLD, _KEPT)) and bool(mallopt(_MMAP_THRESHOLD, _LARGEST))

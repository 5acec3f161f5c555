"""What the C library's allocator does with memory that is freed."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
_KEPT = 1 << 30
_LARGEST = 32 << 20  # glibc takes no larger threshold on 64 bits


def keep_freed_memory() -> bool:
    """Let this process keep up to 1 GiB that it freed, for the next step of a training.

    By itself glibc gives the logits of a batch back to the system after each step and gets them anew, page by
    page: a fifth of the time of a small language model. Setting the thresholds also ends their adaptation.

    Returns:
        Whether the allocator is glibc's and took the settings.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # TypeError: Windows has no library of the process itself
        return False
    return bool(mallopt(_TRIM_THRESHOLD, _KEPT)) and bool(mallopt(_MMAP_THRESHOLD, _LARGEST))

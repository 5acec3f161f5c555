"""Flair keeps its device in a global; here it is set for a while and put back."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

import flair

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch


@contextmanager
def flair_on(device: torch.device) -> Iterator[None]:
    """Let Flair put what it makes on a device, and log errors only."""
    logger = logging.getLogger("flair")
    level, before = logger.level, flair.device
    logger.setLevel(logging.ERROR)
    flair.device = device
    try:
        yield
    finally:
        logger.setLevel(level)
        flair.device = before

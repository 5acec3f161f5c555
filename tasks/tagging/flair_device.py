"""Context managers that set Flair's global device and log level, and restore them afterwards."""

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
    """Set the device on which Flair creates tensors and modules."""
    before = flair.device
    flair.device = device
    try:
        yield
    finally:
        flair.device = before


@contextmanager
def quiet_flair() -> Iterator[None]:
    """Let Flair log errors only; it logs every model and embedding that is created."""
    logger = logging.getLogger("flair")
    level = logger.level
    logger.setLevel(logging.ERROR)  # clears the caches of all loggers: too slow for every step
    try:
        yield
    finally:
        logger.setLevel(level)

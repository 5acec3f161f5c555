"""Flair keeps its device and its log in globals; here they are set for a while and put back."""

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
    """Let Flair put what it makes on a device."""
    before = flair.device
    flair.device = device
    try:
        yield
    finally:
        flair.device = before


@contextmanager
def quiet_flair() -> Iterator[None]:
    """Let Flair log errors only; it tells of every model and embedding that is made."""
    logger = logging.getLogger("flair")
    level = logger.level
    logger.setLevel(logging.ERROR)  # clears the caches of all loggers, so it is not done for each step
    try:
        yield
    finally:
        logger.setLevel(level)

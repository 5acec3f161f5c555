"""Ctrl-C that is not lost.

Python raises `KeyboardInterrupt` in whatever code is running. Compiled code with Python callbacks may swallow
it, and so may a library that catches all errors of an optional import. Therefore the signal handler also sets a
flag, which long loops check.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_asked = threading.Event()


def was_asked() -> bool:
    """Whether Ctrl-C was pressed within `remembered`."""
    return _asked.is_set()


def raise_if_asked() -> None:
    """Raise `KeyboardInterrupt` if Ctrl-C was pressed but the exception was swallowed.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed within `remembered`.
    """
    if _asked.is_set():
        raise KeyboardInterrupt


@contextmanager
def remembered() -> Iterator[None]:
    """Record Ctrl-C until the end of the block, unless a handler other than Python's default is installed."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return
    signal.signal(signal.SIGINT, _remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _asked.clear()


def _remember(number: int, frame: FrameType | None) -> None:
    _asked.set()
    signal.default_int_handler(number, frame)

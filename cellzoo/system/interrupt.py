"""Ctrl-C that cannot be lost.

Python raises a `KeyboardInterrupt` wherever it is just then. Compiled code that calls back into Python may
drop it, and so may a library that tries whether another one can be imported. So it is remembered, too, and
loops ask.
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
    """Raise the `KeyboardInterrupt` that was dropped, if one was.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed within `remembered`.
    """
    if _asked.is_set():
        raise KeyboardInterrupt


@contextmanager
def remembered() -> Iterator[None]:
    """Remember Ctrl-C until the end of the block; only where it raises as Python's own handler has it."""
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

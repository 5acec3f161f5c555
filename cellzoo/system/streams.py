"""Standard output and standard error that are closed, full, piped, or have a limited encoding."""

from __future__ import annotations

import os
import sys
import threading
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any

from cellzoo.system.text import printable

if TYPE_CHECKING:
    from rich.console import Console


def prepare_streams() -> None:
    """Make output work if a stream is closed or its encoding lacks characters.

    A closed descriptor is redirected to the null device. Otherwise the next file to be opened would get its
    number, and child processes would write their messages into that file.
    """
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            nothing = os.open(os.devnull, os.O_RDWR)
            if nothing != descriptor:
                os.dup2(nothing, descriptor)
                os.close(nothing)
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8", closefd=False))
        elif isinstance(stream, TextIOWrapper) and mode == "w":
            stream.reconfigure(errors="replace")


def mute(descriptor: int = 1) -> None:
    """Discard all further output, including the flush at the interpreter's exit."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, descriptor)
    os.close(nothing)


def console(*, stderr: bool = False, **options: Any) -> Console:
    """A rich console that replaces foreign control characters and handles a closed pipe.

    When the pipe is closed, the main thread gets a `BrokenPipeError`, which ends the command quietly; a thread
    that draws a live display only stops its output.
    """
    from rich.console import Console

    class QuietConsole(Console):
        def print(self, *objects: Any, **how: Any) -> None:
            texts = (printable(item) if isinstance(item, str) else item for item in objects)
            super().print(*texts, **how)

        def on_broken_pipe(self) -> None:
            self.quiet = True
            mute(2 if stderr else 1)
            if threading.current_thread() is threading.main_thread():
                raise BrokenPipeError

    return QuietConsole(stderr=stderr, **options)


def say(console: Console, line: str) -> None:
    """Print a line unchanged: without markup, highlighting, wrapping or truncation."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)

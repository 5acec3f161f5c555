"""A worker process: takes jobs from a pipe, does them, tells what comes of them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellzoo.system.allocator import keep_freed_memory
from tasks.runs.execute import attempt

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from pathlib import Path

    from tasks.runs.events import Failure
    from tasks.runs.execute import RunSetup
    from tasks.runs.record import RunRecord

WORKER_VARIABLE = "CELLZOO_WORKER"
"""Environment variable that is set in worker processes."""
OUTPUT = "output.log"
"""What a run writes to its standard output and error, in its work folder."""
LONGEST_SILENCE = 3600.0
"""Seconds. A training speaks with every batch; what is long without a word is an evaluation, or data that is
read or downloaded, so an hour ends no honest run."""
_PAUSE = 0.2


@dataclass(frozen=True)
class Ready:
    """The worker has come up."""


@dataclass(frozen=True)
class Progressed:
    """The job is done to a fraction."""

    fraction: float
    words: str


@dataclass(frozen=True)
class Done:
    """The job is over."""

    result: RunRecord | Failure


def work(connection: Connection, setup: RunSetup) -> None:
    """Do jobs until None comes or the other end is closed. The main function of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that gives out the jobs
    threading.Thread(target=_die_with_parent, daemon=True).start()
    keep_freed_memory()
    try:
        connection.send(Ready())
        while (job := connection.recv()) is not None:
            _redirect_output(setup.work(job))
            connection.send(Done(attempt(job, setup, _Reporter(connection))))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


class _Reporter:
    """Passes a task's progress on, a few times a second at most."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._last = -_PAUSE

    def __call__(self, fraction: float, words: str) -> None:
        now = time.monotonic()
        if now - self._last >= _PAUSE:
            self._last = now
            self._connection.send(Progressed(fraction, words))


def _die_with_parent() -> None:
    """End at once when the parent is killed, so that the next command finds the folder at rest."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _redirect_output(folder: Path) -> None:
    """Send what the run writes to a file of its own: the screen belongs to the progress display."""
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        target = os.open(folder / OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    except OSError:
        target = os.open(os.devnull, os.O_WRONLY)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)

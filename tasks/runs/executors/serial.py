"""Runs one after another in this process: for debugging, and where processes cannot be started."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cellzoo.system.allocator import keep_freed_memory
from cellzoo.system.interrupt import raise_if_asked
from tasks.runs.events import Failure
from tasks.runs.execute import attempt
from tasks.runs.threads import environment, thread_variables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasks.runs.events import Listener
    from tasks.runs.execute import RunSetup
    from tasks.runs.job import Job
    from tasks.runs.queue import Queue


def run_serially(queue: Queue, setup: RunSetup, listener: Listener) -> None:
    """Do the jobs of a queue in order; stops early only if the output folder cannot be written."""
    keep_freed_memory()
    with thread_limit(setup.environment.threads):
        while (job := queue.take()) is not None:
            listener.started(job)

            def report(fraction: float, words: str, job: Job = job) -> None:
                raise_if_asked()
                listener.progressed(job, fraction, words)

            result = attempt(job, setup, report)
            raise_if_asked()  # what failed may be an import that was interrupted
            if isinstance(result, Failure):
                queue.fail(result)
            else:
                queue.done(job, result)


@contextmanager
def thread_limit(count: int) -> Iterator[None]:
    """Limit torch, whether it is loaded already or will be by the first run."""
    torch: Any = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else None
    if torch:
        torch.set_num_threads(count)
    try:
        with environment(thread_variables(count)):
            yield
    finally:
        if torch:
            torch.set_num_threads(before)

"""Several runs at a time, each in a worker process.

Workers are started fresh (spawn) and do one job after another. Each has a pipe of its own to this process: a
worker that is killed in the middle of a message cannot block the others, as it could with a shared queue.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from cellzoo.errors import RunError
from tasks.runs.events import Failure
from tasks.runs.executors.pool import Pool
from tasks.runs.executors.worker import LONGEST_SILENCE, OUTPUT, WORKER_VARIABLE, Done, Progressed, Ready, work
from tasks.runs.threads import environment, thread_variables

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection
    from pathlib import Path

    from tasks.runs.events import Listener
    from tasks.runs.execute import RunSetup
    from tasks.runs.job import Job
    from tasks.runs.queue import Queue

_TICK = 0.25
_PATIENCE = 5.0
_SIGKILL = 9


def run_in_processes(
    queue: Queue, setup: RunSetup, listener: Listener, workers: int, longest_silence: float = LONGEST_SILENCE
) -> None:
    """Do the jobs of a queue, `workers` at a time; stops early only if the output folder cannot be written.

    A worker that dies (killed, or out of memory) or hangs fails its job and is replaced.

    Args:
        queue: Gives out jobs and takes results.
        setup: What all runs share.
        listener: Is told of starts and progress.
        workers: Runs at a time.
        longest_silence: Seconds after which a worker that has said nothing of its job is taken to hang.

    Raises:
        RunError: Worker processes cannot be started.
    """
    _ProcessPool(queue, setup, listener, workers, longest_silence).run()


class _ProcessPool(Pool["_Worker"]):
    """The worker processes of one command."""

    _any_ready = False

    def start(self, job: Job) -> _Worker:
        """See `Pool`."""
        worker = _Worker(self.setup)
        worker.give(job)
        return worker

    def give(self, worker: _Worker, job: Job) -> None:
        """See `Pool`."""
        worker.give(job)

    def listen(self) -> None:
        """See `Pool`."""
        busy = {worker.connection: worker for worker in self.workers if worker.job is not None}
        for connection in wait(list(busy), timeout=_TICK):
            worker = next(worker for known, worker in busy.items() if known is connection)
            try:
                message = worker.connection.recv()
            except (EOFError, OSError):
                self._handle_exit(worker)
            else:
                worker.heard = time.monotonic()
                self._take(worker, message)
        self._end_hanging()

    def stop(self) -> None:
        """See `Pool`."""
        for worker in self.workers:
            worker.stop()
        for worker in self.workers:
            worker.join()

    def _end_hanging(self) -> None:
        """End the workers that have said nothing for too long, and fail what they were doing."""
        last = time.monotonic() - self.longest_silence
        for worker in self.workers:
            # What has been said already may wait to be read, behind what others say.
            if worker.job is not None and worker.heard < last and not worker.connection.poll():
                worker.kill()
                self.queue.fail(Failure(worker.job, self.hung("worker process"), self._output(worker.job)))
                worker.job = None

    def _take(self, worker: _Worker, message: Ready | Progressed | Done) -> None:
        job = worker.job
        if isinstance(message, Ready):
            self._any_ready = True
        elif job is None:
            return
        elif isinstance(message, Progressed):
            self.listener.progressed(job, message.fraction, message.words)
        else:
            worker.job = None
            if isinstance(message.result, Failure):
                self._replace_after_defect(worker, message.result)
                self.queue.fail(message.result)
            else:
                self.queue.done(job, message.result)

    def _replace_after_defect(self, worker: _Worker, failure: Failure) -> None:
        """A defect may have left anything behind in the process, so the next job gets a fresh one."""
        if failure.log is not None:
            worker.stop()
            worker.join()

    def _handle_exit(self, worker: _Worker) -> None:
        worker.join()
        cause = worker.describe_exit()
        if not self._any_ready and not worker.was_killed:
            raise RunError(
                f"worker processes end before they begin ({cause}). In a script, call run_suite under: "
                'if __name__ == "__main__":'
            )
        if worker.job is not None:
            message = f"its worker process died ({cause}); it goes on from its last checkpoint when run again"
            self.queue.fail(Failure(worker.job, message, self._output(worker.job)))
            worker.job = None

    def _output(self, job: Job) -> Path | None:
        path = self.setup.work(job) / OUTPUT
        return path if path.is_file() and path.stat().st_size else None


class _Worker:
    """A worker process, seen from the process that gives out the jobs.

    Args:
        setup: What all runs share.

    Attributes:
        connection: Our end of the pipe.
        job: What it is doing; None if it waits.
        heard: When it last said something, or was given its job; by `time.monotonic`.
    """

    def __init__(self, setup: RunSetup) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection: Connection
        self.connection, theirs = context.Pipe()
        self.job: Job | None = None
        self.heard = time.monotonic()
        self._process = context.Process(target=work, args=(theirs, setup))
        with _inherited(setup.environment.threads):
            self._process.start()
        theirs.close()

    @property
    def alive(self) -> bool:
        """Whether the process runs, or how it ended with a job is still to be heard."""
        return self.job is not None or self._process.is_alive()

    def give(self, job: Job) -> None:
        """Send it a job."""
        self.job, self.heard = job, time.monotonic()
        with suppress(OSError):  # if it has died, reading from the pipe will tell
            self.connection.send(job)

    def stop(self) -> None:
        """Tell it to end: at once if it is busy."""
        if self.job is None:
            with suppress(OSError):
                self.connection.send(None)
        else:
            self._process.terminate()

    def kill(self) -> None:
        """End it at once, also where it is stopped or deaf to signals."""
        self._process.kill()
        self._process.join()
        self.connection.close()

    def join(self) -> None:
        """Wait until it has ended, and make it end if it takes long."""
        self._process.join(_PATIENCE)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self.connection.close()

    @property
    def was_killed(self) -> bool:
        """Whether a signal ended it."""
        return self._process.exitcode is not None and self._process.exitcode < 0

    def describe_exit(self) -> str:
        """Describe how the worker process ended: by a signal, or with an exit code."""
        code = self._process.exitcode
        if code == -_SIGKILL:
            return "SIGKILL: killed from outside, or memory ran out"
        if code is not None and code < 0:
            try:
                return signal.Signals(-code).name
            except ValueError:  # real-time signals have no names
                return f"signal {-code}"
        return f"exit code {code}"


@contextmanager
def _inherited(threads: int) -> Iterator[None]:
    """What a worker inherits: the number of threads, and Ctrl-C ignored from its first moment."""
    resource_tracker.ensure_running()  # started with the first worker, it would end the block
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        with environment({**thread_variables(threads), WORKER_VARIABLE: "1"}):
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)

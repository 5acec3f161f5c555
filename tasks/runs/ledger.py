"""The state of all runs of a command: which wait, which are done, which failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.runs.events import Failure

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tasks.runs.events import Listener
    from tasks.runs.plan import Job
    from tasks.runs.record import RunRecord


class Ledger:
    """Gives out jobs in plan order and takes their results.

    A job is held back until the one it comes after is done. It fails with that one, without being started.

    Args:
        jobs: The jobs to run. A job that comes after one that is not among them is not held back.
        listener: Is told of every result.

    Attributes:
        records: Key -> record that was made.
        failures: The jobs that failed, in the order in which they did.
        stopped: Whether a failure showed that no other job can be done.
    """

    def __init__(self, jobs: Iterable[Job], listener: Listener) -> None:
        self.records: dict[str, RunRecord] = {}
        self.failures: list[Failure] = []
        self.stopped = False
        self._listener = listener
        self._waiting = list(jobs)
        self._open = {job.key for job in self._waiting}

    def __len__(self) -> int:
        """Jobs that wait."""
        return len(self._waiting)

    def take(self) -> Job | None:
        """Take the next job; None if there is none that may start now."""
        if self.stopped:
            return None
        for position, job in enumerate(self._waiting):
            if job.after not in self._open:
                return self._waiting.pop(position)
        return None

    def done(self, job: Job, record: RunRecord) -> None:
        """Note that the record of a job is written."""
        self.records[job.key] = record
        self._open.discard(job.key)
        self._listener.finished(job, record)

    def fail(self, failure: Failure) -> None:
        """Note that a job failed, and with it the jobs that come after it."""
        self.failures.append(failure)
        self._open.discard(failure.job.key)
        self.stopped = self.stopped or failure.stops_all
        self._listener.failed(failure)
        for job in [waiting for waiting in self._waiting if waiting.after == failure.job.key]:
            self._waiting.remove(job)
            self.fail(Failure(job, f"not started: it needs what {failure.job.label} leaves behind"))

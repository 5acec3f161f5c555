"""The queue that executors work on: jobs that may start, and what becomes of them.

An executor takes jobs until `take` gives None while none of its own is running; results may come in any order.
A queue may grow: a result can make further jobs possible (the retraining of a cell that was found, the next
candidates of a sampler), so after a result an executor asks again.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol, TypeAlias

from tasks.runs.events import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tasks.runs.events import Listener
    from tasks.runs.job import Job
    from tasks.runs.record import RunRecord

    Grow: TypeAlias = Callable[[Job, RunRecord | Failure], Iterable[Job]]
    Keep: TypeAlias = Callable[[Job, Failure | None], None]
    Lookup: TypeAlias = Callable[[Job], RunRecord | None]


class Queue(Protocol):
    """What an executor sees; all calls come from one thread."""

    def take(self) -> Job | None:
        """Take the next job that may start now; None if there is none, or none any more."""
        ...

    def done(self, job: Job, record: RunRecord) -> None:
        """Say that the record of a job is written."""
        ...

    def fail(self, failure: Failure) -> None:
        """Say that a job did not finish."""
        ...


class JobQueue:
    """A queue that keeps account of all runs of a command.

    Jobs are given out in the order in which they were added. A job is held back until the one it comes after is
    done, and fails with that one, without being started. Of jobs that share a work folder one runs at a time.

    Args:
        listener: Is told of every result.
        lookup: Finds the record of a job that is there already; such a job counts as done at once.
        grow: Gives the jobs that a result makes possible; a failed job that it gives again is done again.
        keep: Is told of a job that ended, and of its failure, which it keeps or, where that is None, forgets.

    Attributes:
        records: Key -> record of every job that is done.
        made: Keys of the records that were made now.
        failures: The jobs that failed, in the order in which they did.
        stopped: Whether a failure showed that no other job can be done.
    """

    def __init__(
        self,
        listener: Listener,
        *,
        lookup: Lookup | None = None,
        grow: Grow | None = None,
        keep: Keep | None = None,
    ) -> None:
        self.records: dict[str, RunRecord] = {}
        self.made: set[str] = set()
        self.failures: list[Failure] = []
        self.stopped = False
        self._listener = listener
        self._lookup = lookup
        self._grow = grow
        self._keep = keep
        self._waiting: list[Job] = []
        self._known: set[str] = set()
        self._open: set[str] = set()
        self._busy: set[str] = set()
        self._has_begun = False

    def __len__(self) -> int:
        """Jobs that wait."""
        return len(self._waiting)

    def add(self, jobs: Iterable[Job]) -> None:
        """Add jobs; one whose key is known already is left out."""
        new: list[Job] = []
        todo = deque(jobs)
        while todo:
            job = todo.popleft()
            if job.key in self._known:
                continue
            self._known.add(job.key)
            record = self._lookup(job) if self._lookup and not job.remake else None
            if record is None:
                new.append(job)
            else:
                self.records[job.key] = record
                todo.extend(self._grow(job, record) if self._grow else ())
        self._waiting += new
        self._open |= {job.key for job in new}
        if new and self._has_begun:
            self._listener.added(new)

    def begin(self, present: int, workers: int) -> None:
        """Tell the listener what is to come.

        Args:
            present: Records that were there before, beside those that the ledger has found.
            workers: Runs at a time.
        """
        self._has_begun = True
        self._listener.begin(list(self._waiting), present + len(self.records), workers)

    def take(self) -> Job | None:
        """See `Queue`."""
        if self.stopped:
            return None
        for position, job in enumerate(self._waiting):
            if job.after not in self._open and job.work not in self._busy:
                self._busy.add(job.work)
                return self._waiting.pop(position)
        return None

    def done(self, job: Job, record: RunRecord) -> None:
        """See `Queue`."""
        self.records[job.key] = record
        if not job.remake:
            self.made.add(job.key)
        if self._keep:
            self._keep(job, None)
        self._close(job)
        self._listener.finished(job, record)
        if self._grow:
            self.add(self._grow(job, record))

    def fail(self, failure: Failure) -> None:
        """See `Queue`; the jobs that come after it fail, too."""
        if self._keep and not failure.stops_all and not failure.job.remake:
            self._keep(failure.job, failure)
        todo = deque([failure])
        while todo:
            failed = todo.popleft()
            self.failures.append(failed)
            self._close(failed.job)
            self.stopped = self.stopped or failed.stops_all
            self._listener.failed(failed)
            for job in [waiting for waiting in self._waiting if waiting.after == failed.job.key]:
                self._waiting.remove(job)
                message = f"not started: it needs what {failed.job.label} leaves behind"
                todo.append(Failure(job, message))
            if self._grow and not self.stopped:
                jobs = list(self._grow(failed.job, failed))
                if any(job.key == failed.job.key for job in jobs):
                    self._known.discard(failed.job.key)
                    self.failures.remove(failed)
                self.add(jobs)

    def _close(self, job: Job) -> None:
        self._open.discard(job.key)
        self._busy.discard(job.work)

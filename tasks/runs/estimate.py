"""How long the runs that are left will take."""

from __future__ import annotations

import heapq
import time
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tasks.runs.job import Job


@dataclass
class Running:
    """A run that has begun.

    Attributes:
        since: Clock reading at its start.
        fraction: How much of it is done, 0 to 1.
        words: What it says about itself.
        first: Clock reading and fraction at its first report.
        last: The same at its last report.
    """

    since: float
    fraction: float = 0.0
    words: str = ""
    first: tuple[float, float] | None = None
    last: tuple[float, float] | None = None

    def seconds_left(self, now: float) -> float | None:
        """Seconds left by its own pace: between its first report and the last, or else since its start.

        A resumed run reports at once what was done before; only the time since then counts.
        """
        if self.first is None or self.last is None:
            return None
        begin, done_before = self.first if self.last[1] > self.first[1] else (self.since, 0.0)
        end, done = self.last
        if done <= done_before:
            return None
        return max((end - begin) / (done - done_before) * (1 - done) - (now - end), 0.0)


class Estimate:
    """Predicts the time left from what has been seen.

    A run is expected to take as long as finished runs of the same task and cell did on average; if there are
    none, as finished runs of the task; then as running ones of the task promise; then as any. The runs that
    are left are laid out over the workers, first come first served.

    Args:
        jobs: The runs to do.
        workers: Runs at a time.
        clock: Seconds, for tests.
    """

    def __init__(self, jobs: Iterable[Job], workers: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.running: dict[str, Running] = {}
        self._workers = workers
        self._clock = clock
        self._jobs = {job.key: job for job in jobs}
        self._waiting = dict.fromkeys(self._jobs)
        self._seconds: dict[str, float] = {}

    def added(self, jobs: Iterable[Job]) -> None:
        """Note that there is more to do."""
        for job in jobs:
            self._jobs[job.key] = job
            self._waiting[job.key] = None

    def started(self, job: Job) -> None:
        """Note that a run has begun."""
        self._waiting.pop(job.key, None)
        self.running[job.key] = Running(self._clock())

    def progressed(self, job: Job, fraction: float, words: str) -> None:
        """Note how far a run is."""
        run = self.running[job.key]
        run.fraction, run.words = min(1.0, max(0.0, fraction)), words
        run.last = (self._clock(), run.fraction)
        run.first = run.first or run.last

    def over(self, job: Job, finished: bool) -> float:
        """Note that a run has ended; gives its seconds. Only finished runs say how long others take."""
        self._waiting.pop(job.key, None)
        run = self.running.pop(job.key, None)
        seconds = self._clock() - run.since if run else 0.0
        if finished:
            self._seconds[job.key] = seconds
        return seconds

    def seconds_left(self) -> float | None:
        """Seconds until all runs are done, or None as long as nothing is known."""
        ends = [self._running_left(key) for key in self.running]
        waits = [self._expected(self._jobs[key]) for key in self._waiting]
        if None in ends or None in waits:
            return None
        free = [end for end in ends if end is not None]
        free += [0.0] * (self._workers - len(free))
        heapq.heapify(free)
        for seconds in waits:
            heapq.heapreplace(free, free[0] + (seconds or 0.0))
        return max(free)

    def _running_left(self, key: str) -> float | None:
        run = self.running[key]
        own = run.seconds_left(self._clock())
        if own is not None:
            return own
        expected = self._expected(self._jobs[key])
        return None if expected is None else max(expected - (self._clock() - run.since), 0.0)

    def _expected(self, job: Job) -> float | None:
        """Seconds a whole run of `job` will take."""
        of_task = {key: value for key, value in self._seconds.items() if self._jobs[key].task == job.task}
        of_cell = [v for key, v in of_task.items() if self._jobs[key].subject.name == job.subject.name]
        promised = {key: self._promise(key) for key in self.running}
        of_running = [v for key, v in promised.items() if v is not None and self._jobs[key].task == job.task]
        anything = [*self._seconds.values(), *(value for value in promised.values() if value is not None)]
        for known in (of_cell, list(of_task.values()), of_running, anything):
            if known:
                return fmean(known)
        return None

    def _promise(self, key: str) -> float | None:
        """Seconds that a running one will have taken in all."""
        run = self.running[key]
        left = run.seconds_left(self._clock())
        return None if left is None else left + self._clock() - run.since

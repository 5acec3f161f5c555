"""A listener that shows runs to a tracker: the epochs in their event streams, then their results."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cellzoo.errors import DataError
from tasks.training.events import read_events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from tasks.runs.events import Failure, Listener
    from tasks.runs.job import Job
    from tasks.runs.record import RunRecord
    from tasks.runs.trackers import Tracker

EVENTS = "events.jsonl"
_PAUSE = 2.0
_PLACES = ("event", "epoch", "step")


@dataclass
class _Followed:
    """A run that is shown.

    Attributes:
        tracker: Its page.
        epoch: The last epoch that was shown.
        step: The last step.
        looked: When its events were read.
    """

    tracker: Tracker
    epoch: int = 0
    step: int = 0
    looked: float = -math.inf


class TrackedListener:
    """Tells a tracker and another listener what happens.

    A tracker that fails ends for its run; the run goes on, and `notes` say so.

    Args:
        inner: The other listener.
        make: Makes the page of a run.
        out: The output folder.

    Attributes:
        notes: What went wrong.
    """

    def __init__(self, inner: Listener, make: Callable[[Job, Path], Tracker], out: Path) -> None:
        self._inner = inner
        self._make = make
        self._out = out
        self._followed: dict[str, _Followed] = {}
        self.notes: list[str] = []

    def begin(self, jobs: list[Job], present: int, workers: int) -> None:
        """See `Listener`."""
        self._inner.begin(jobs, present, workers)

    def added(self, jobs: list[Job]) -> None:
        """See `Listener`."""
        self._inner.added(jobs)

    def started(self, job: Job) -> None:
        """Open its page."""
        self._inner.started(job)
        if job.remake:
            return
        try:
            self._followed[job.key] = _Followed(self._make(job, self._out))
        except Exception as error:  # trackers raise whatever they like
            self._note(job, error)

    def progressed(self, job: Job, fraction: float, words: str) -> None:
        """Show the epochs that are over."""
        self._inner.progressed(job, fraction, words)
        followed = self._followed.get(job.key)
        now = time.monotonic()
        if followed is not None and now - followed.looked >= _PAUSE:
            followed.looked = now
            with suppress(DataError):  # a run that has no events yet, or none at all
                self._show(job, followed, read_events(self._out / job.work / EVENTS))

    def finished(self, job: Job, record: RunRecord) -> None:
        """Show the other epochs and the results, and close the page."""
        self._inner.finished(job, record)
        followed = self._followed.get(job.key)
        if followed is not None:
            self._show(job, followed, ({"event": "epoch", **epoch} for epoch in record.history))
            results = {f"result/{name}": record.value(name) for name in record.metrics}
            known = {name: value for name, value in results.items() if math.isfinite(value)}
            self._log(job, followed, followed.step + 1, known)
            self._close(job)

    def failed(self, failure: Failure) -> None:
        """Close its page."""
        self._inner.failed(failure)
        self._close(failure.job)

    def tick(self) -> None:
        """See `Listener`."""
        self._inner.tick()

    def end(self, stopped: bool) -> None:
        """Close all pages."""
        for job_key in list(self._followed):
            followed = self._followed.pop(job_key)
            with suppress(Exception):  # nothing more can be said to it
                followed.tracker.close()
        self._inner.end(stopped)

    def _show(self, job: Job, followed: _Followed, events: Iterable[Mapping[str, Any]]) -> None:
        for number, event in enumerate((one for one in events if one.get("event") == "epoch"), start=1):
            epoch = event.get("epoch", number)
            if isinstance(epoch, int) and epoch > followed.epoch:
                followed.epoch = epoch
                step = event.get("step", epoch)
                step = step if isinstance(step, int) else epoch
                self._log(job, followed, step, {"epoch": float(epoch), **dict(scalars(event))})

    def _log(self, job: Job, followed: _Followed, step: int, values: Mapping[str, float]) -> None:
        followed.step = max(followed.step, step)
        if job.key not in self._followed:
            return
        try:
            followed.tracker.log(step, values)
        except Exception as error:  # as above
            del self._followed[job.key]
            self._note(job, error)

    def _close(self, job: Job) -> None:
        followed = self._followed.pop(job.key, None)
        if followed is not None:
            try:
                followed.tracker.close()
            except Exception as error:  # as above
                self._note(job, error)

    def _note(self, job: Job, error: Exception) -> None:
        words = " ".join(str(error).split())
        self.notes.append(f"{job.label} is not tracked to its end ({type(error).__name__}: {words:.200})")


def scalars(event: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """The finite numbers of an event: `train_loss`, `dev/f1`."""
    for name, value in event.items():
        if isinstance(value, dict):
            yield from scalars(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and (prefix or name not in _PLACES) and math.isfinite(value):
            yield f"{prefix}{name}", float(value)

"""What happens during a run, told to whoever listens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.runs.job import Job
    from tasks.runs.record import RunRecord


@dataclass(frozen=True)
class Failure:
    """A run that did not finish.

    Attributes:
        job: The run.
        message: One line that says why.
        log: A file with the details, if there is one.
        stops_all: Whether the other runs would fail alike, because the output folder cannot be written.
    """

    job: Job
    message: str
    log: Path | None = None
    stops_all: bool = False


def describe_failure(failure: Failure) -> str:
    """One line on a failed run."""
    details = f" (details: {failure.log})" if failure.log else ""
    return f"{failure.job.label}: {failure.message}{details}"


class Listener(Protocol):
    """Hears what happens; all calls come from the process and thread that started the runs."""

    def begin(self, jobs: list[Job], present: int, workers: int) -> None:
        """`jobs` are about to be run by `workers` at a time; `present` others are there already."""

    def added(self, jobs: list[Job]) -> None:
        """A result has made further `jobs` possible."""

    def started(self, job: Job) -> None:
        """A worker has begun `job`."""

    def progressed(self, job: Job, fraction: float, words: str) -> None:
        """`job` is done to `fraction` (0 to 1)."""

    def finished(self, job: Job, record: RunRecord) -> None:
        """The record of `job` is written."""

    def failed(self, failure: Failure) -> None:
        """A job will not be finished."""

    def tick(self) -> None:
        """Called a few times a second."""

    def end(self, stopped: bool) -> None:
        """No job runs any more; `stopped` says that the user asked for that."""


class Silent:
    """A listener that does nothing."""

    def begin(self, jobs: list[Job], present: int, workers: int) -> None:
        """Do nothing."""

    def added(self, jobs: list[Job]) -> None:
        """Do nothing."""

    def started(self, job: Job) -> None:
        """Do nothing."""

    def progressed(self, job: Job, fraction: float, words: str) -> None:
        """Do nothing."""

    def finished(self, job: Job, record: RunRecord) -> None:
        """Do nothing."""

    def failed(self, failure: Failure) -> None:
        """Do nothing."""

    def tick(self) -> None:
        """Do nothing."""

    def end(self, stopped: bool) -> None:
        """Do nothing."""

"""What a user sees while runs are going on: lines, and in a terminal bars below them."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cellzoo.system import streams
from cellzoo.system.text import duration, printable
from tasks.runs.estimate import Estimate
from tasks.runs.events import describe_failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console, RenderableType

    from tasks.runs.events import Failure
    from tasks.runs.job import Job
    from tasks.runs.record import RunRecord

_BAR = 24
_QUIET = 60.0


class Lines:
    """A line for each run that starts or ends, and one when nothing was written for a minute.

    Args:
        console: Where to write.
        clock: Seconds, for tests.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._written = clock()
        self._total = 0
        self._over = 0
        self._estimate = Estimate((), 1)

    def begin(self, jobs: list[Job], present: int, workers: int) -> None:
        """Say what is to come."""
        self._total, self._over = len(jobs), 0
        self._estimate = Estimate(jobs, workers)
        there = f", {present} there already" if present else ""
        pace = "one at a time" if workers == 1 else f"{workers} at a time"
        self._write(f"{_count(len(jobs), 'run')} to do{there}; {pace}")

    def added(self, jobs: list[Job]) -> None:
        """Count them in."""
        self._total += len(jobs)
        self._estimate.added(jobs)

    def started(self, job: Job) -> None:
        """Say which run begins."""
        self._estimate.started(job)
        self._write(f"started   {job.label}")

    def progressed(self, job: Job, fraction: float, words: str) -> None:
        """Keep it for the time left, and say it if it has been quiet for long."""
        self._estimate.progressed(job, fraction, words)
        if self._clock() - self._written >= _QUIET:
            self._write(f"running   {job.label}: {fraction:.0%}, {words}  ({self._standing()})")

    def finished(self, job: Job, record: RunRecord) -> None:
        """Say what came out."""
        seconds = self._estimate.over(job, finished=True)
        self._over += 1
        metric = record.metrics[record.primary]
        value = "undefined" if metric.value is None else f"{metric.value:.{metric.digits}f}"
        score = f"{metric.title} {value}"
        self._write(f"finished  {job.label}: {score}, {duration(seconds)}  ({self._standing()})", "green")

    def failed(self, failure: Failure) -> None:
        """Say why."""
        self._estimate.over(failure.job, finished=False)
        self._over += 1
        self._write(f"failed    {describe_failure(failure)}  ({self._standing()})", "red")

    def tick(self) -> None:
        """Do nothing: lines stay as they are."""

    def end(self, stopped: bool) -> None:
        """If it was stopped, say how to go on."""
        if stopped:
            self._write(
                f"stopped with {self._over} of {_count(self._total, 'run')} over. What is written is kept; "
                "the same command goes on from there."
            )

    def _standing(self) -> str:
        left = self._estimate.seconds_left() if self._over < self._total else None
        return f"{self._over}/{self._total}" + (f", {duration(left)} left" if left is not None else "")

    def _write(self, line: str, style: str = "") -> None:
        self._written = self._clock()
        self._console.print(Text(printable(line), style=style), soft_wrap=True, highlight=False)


class Bars(Lines):
    """The lines of runs that ended, and below them a bar for each running one and one for all."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._labels: dict[str, str] = {}
        # Refreshed on every event and tick, not from a thread of its own, which would read while we write.
        self._live = Live(console=console, get_renderable=self._render, auto_refresh=False, transient=True)

    def begin(self, jobs: list[Job], present: int, workers: int) -> None:
        """Say what is to come and show the bars."""
        super().begin(jobs, present, workers)
        self._labels = {job.key: job.label for job in jobs}
        self._live.start()

    def added(self, jobs: list[Job]) -> None:
        """Count them in."""
        super().added(jobs)
        self._labels |= {job.key: job.label for job in jobs}

    def started(self, job: Job) -> None:
        """Add a bar."""
        self._estimate.started(job)
        self._live.refresh()

    def progressed(self, job: Job, fraction: float, words: str) -> None:
        """Move its bar."""
        self._estimate.progressed(job, fraction, words)
        self._live.refresh()

    def tick(self) -> None:
        """Let the time left go on."""
        self._live.refresh()

    def end(self, stopped: bool) -> None:
        """Take the bars away."""
        self._live.stop()
        super().end(stopped)

    def _render(self) -> RenderableType:
        table = Table.grid(padding=(0, 1))
        table.add_column(no_wrap=True, overflow="ellipsis")
        table.add_column(width=_BAR)
        table.add_column(no_wrap=True, overflow="ellipsis")
        running = dict(self._estimate.running)
        for key, run in running.items():
            bar = ProgressBar(total=1.0, completed=run.fraction, width=_BAR)
            table.add_row(Text(self._labels[key]), bar, Text(f"{run.fraction:4.0%}  {run.words}"))
        done = self._over + sum(run.fraction for run in running.values())
        left = self._estimate.seconds_left()
        words = f"{self._over} of {self._total}, " + (
            "time left not known yet" if left is None else f"{duration(left)} left"
        )
        bar = ProgressBar(total=float(self._total), completed=done, width=_BAR)
        table.add_row(Text("all runs", style="bold"), bar, Text(words, style="bold"))
        return Group(table)


def show_progress(console: Console | None = None) -> Lines:
    """Bars if the output is a terminal, otherwise lines."""
    console = console or streams.console()
    plain = not console.is_terminal or os.environ.get("TERM") == "dumb"
    return Lines(console) if plain else Bars(console)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"

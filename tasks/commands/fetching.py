"""What a user sees while data is fetched: a bar in a terminal, lines elsewhere."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cellzoo.system import streams
from cellzoo.system.text import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from tasks.data.fetch import Report

_QUIET = 10.0
"""Seconds between two lines."""
_MEGA = 1e6


@contextmanager
def shown_progress(console: Console | None = None) -> Iterator[Report]:
    """Show how much of a download has come and how long the rest takes, on standard error."""
    console = console or streams.console(stderr=True)
    if not console.is_terminal:
        yield Lines(lambda line: streams.say(console, line))
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bars = {}

        def report(url: str, done: int, total: int | None) -> None:
            if url not in bars:
                bars[url] = progress.add_task(url.rpartition("/")[2], total=total)
            progress.update(bars[url], completed=done, total=total)

        yield report


class Lines:
    """A line every ten seconds.

    Args:
        write: Takes a line.
        clock: Seconds, for tests.
    """

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._clock = clock
        self._url = ""
        self._begun = self._said = 0.0
        self._first = 0

    def __call__(self, url: str, done: int, total: int | None) -> None:
        """Take what has come of a file; see `tasks.data.fetch.fetch`."""
        now = self._clock()
        if url != self._url:
            self._url, self._begun, self._said, self._first = url, now, now, done
        if now - self._said < _QUIET:
            return
        self._said = now
        if total is None:
            self._write(f"{url}: {done / _MEGA:,.1f} MB")
            return
        left = (total - done) * (now - self._begun) / max(1, done - self._first)
        self._write(f"{url}: {done / _MEGA:,.1f} of {total / _MEGA:,.1f} MB, {duration(left)} left")

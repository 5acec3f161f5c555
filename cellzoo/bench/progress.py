"""What is seen while cases are timed: which one, how far, and the time left."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.text import Text

from cellzoo.system.duration import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cellzoo.bench.case import Case

_QUIET = 30.0


class BenchProgress:
    """A line for each case, and one when nothing was written for a while.

    Args:
        cases: All that is to be done.
        console: Where to write.
        clock: Seconds, for tests.
    """

    def __init__(
        self, cases: Sequence[Case], console: Console, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._console = console
        self._began = self._written = clock()
        self._cases = cases
        # A case takes as long as it has FLOPs, roughly; equal cases are told apart by their place.
        self._work = sum(case.flops for case in cases)
        self._done = 0
        self._finished = 0
        self._title = ""

    def begin(self, case: Case, names: Sequence[str]) -> None:
        """Say which case begins."""
        self._title = f"{self._finished + 1} of {len(self._cases)}: {case}"
        self._say(f"{self._title}: {', '.join(names)}")

    def advance(self, fraction: float, words: str) -> None:
        """Say how far it is."""
        left = self.seconds_left(fraction)
        time_left = "" if left is None else f", {duration(left)} left"
        self._update(f"{self._title}: {words}{time_left}")

    def end(self) -> None:
        """Take note that the case is over."""
        self._done += self._cases[self._finished].flops
        self._finished += 1

    def close(self) -> None:
        """Write no more."""

    def seconds_left(self, fraction: float) -> float | None:
        """Seconds until all is done, at the pace so far; None before there is one."""
        current = self._cases[self._finished].flops
        share = (self._done + fraction * current) / self._work
        return (self._clock() - self._began) * (1 - share) / share if share else None

    def _say(self, line: str) -> None:
        self._written = self._clock()
        self._console.print(Text(line, style="dim"), soft_wrap=True)

    def _update(self, line: str) -> None:
        if self._clock() - self._written >= _QUIET:
            self._say(line)


class LiveBenchProgress(BenchProgress):
    """One line that changes, at the foot of a terminal."""

    def __init__(self, cases: Sequence[Case], console: Console) -> None:
        super().__init__(cases, console)
        # Refreshed between samples, not by a thread of its own, whose time would be counted.
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def begin(self, case: Case, names: Sequence[str]) -> None:
        """Show the line."""
        self._live.start()
        super().begin(case, names)

    def end(self) -> None:
        """Take the line away, so that a table can be printed."""
        self._live.stop()
        super().end()

    def close(self) -> None:
        """Take the line away."""
        self._live.stop()

    def _say(self, line: str) -> None:
        self._update(line)

    def _update(self, line: str) -> None:
        self._live.update(Text(line, style="dim", overflow="ellipsis", no_wrap=True), refresh=True)


def show_progress(cases: Sequence[Case]) -> BenchProgress:
    """A line that changes if standard error is a terminal, otherwise lines."""
    console = Console(stderr=True)
    plain = not console.is_terminal or os.environ.get("TERM") == "dumb"
    return BenchProgress(cases, console) if plain else LiveBenchProgress(cases, console)

"""What a user sees of a search: a line an epoch, and in a terminal a bar with the time left."""

from __future__ import annotations

import math
import os
import time
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cellzoo.system.duration import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rich.console import RenderableType

_BAR = 24
_QUIET = 60.0
_REFRESH = 0.2


class Lines:
    """A line when a search begins, after each epoch, and when nothing was written for a minute.

    Args:
        console: Where to write.
        clock: Seconds, for tests.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._written = clock()
        self._label = ""
        self._epochs = self._done = self._steps = self._step = 0
        self._loss = math.nan
        self._concluded = 0.0
        self._since: tuple[float, float] | None = None

    def begin(self, label: str, epochs: int, done: int, steps: int) -> None:
        """Say what is to come."""
        self._label, self._epochs, self._done, self._steps = label, epochs, done, max(steps, 1)
        self._since = None
        there = f", {done} there already" if done else ""
        self._write(f"{label}: {epochs} epochs of about {steps} steps{there}")

    def step(self, step: int, numbers: Mapping[str, float]) -> None:
        """Keep it for the time left, and say it if it has been quiet for long."""
        self._step = step
        self._loss = numbers.get("train_loss", self._loss)
        if self._since is None:
            self._since = (self._clock(), self._position)
        if self._clock() - self._written >= _QUIET:
            self._write(f"epoch {self._done + 1}/{self._epochs}, {self._words()}")

    def epoch(self, event: Mapping[str, Any]) -> None:
        """Say what came out of an epoch."""
        steps = self._step
        self._done, self._step = event["epoch"], 0
        self._steps = steps or self._steps
        self._write(f"epoch {self._done}/{self._epochs}: {epoch_words(event)}{self._left_words()}")

    def concluding(self) -> None:
        """Say that the cell is being chosen."""
        self._concluded = self._clock()
        self._write("choosing the cell")

    def judged(self, done: int, of: int) -> None:
        """Say it if it has been quiet for long."""
        if self._clock() - self._written >= _QUIET:
            left = (self._clock() - self._concluded) / done * (of - done)
            self._write(f"choosing the cell: {done} of {of} candidates judged; {duration(left)} left")

    def end(self, stopped: bool) -> None:
        """If someone stopped it, say how to go on."""
        if stopped:
            self._write("stopped; what is written is kept, and the same command goes on from the last epoch")

    @property
    def _position(self) -> float:
        """Epochs done, the running one in part."""
        return self._done + min(self._step / self._steps, 1.0)

    def _seconds_left(self) -> float | None:
        """By the pace since this process took its first step."""
        if self._since is None or self._position <= self._since[1]:
            return None
        pace = (self._clock() - self._since[0]) / (self._position - self._since[1])
        return pace * (self._epochs - self._position)

    def _left_words(self) -> str:
        left = self._seconds_left()
        return "" if left is None or self._done == self._epochs else f"; {duration(left)} left"

    def _words(self) -> str:
        loss = "" if math.isnan(self._loss) else f", loss {self._loss:.2f}"
        return f"step {self._step} of about {self._steps}{loss}{self._left_words()}"

    def _write(self, line: str) -> None:
        self._written = self._clock()
        self._console.print(Text(line), soft_wrap=True, highlight=False)


class Bar(Lines):
    """The lines, and below them a bar."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._drawn = 0.0
        self._live = Live(console=console, get_renderable=self._render, auto_refresh=False, transient=True)

    def begin(self, label: str, epochs: int, done: int, steps: int) -> None:
        """Say what is to come and show the bar."""
        super().begin(label, epochs, done, steps)
        self._live.start()

    def step(self, step: int, numbers: Mapping[str, float]) -> None:
        """Move the bar."""
        super().step(step, numbers)
        if self._clock() - self._drawn >= _REFRESH:
            self._drawn = self._clock()
            self._live.refresh()

    def end(self, stopped: bool) -> None:
        """Take the bar away."""
        self._live.stop()
        super().end(stopped)

    def _render(self) -> RenderableType:
        table = Table.grid(padding=(0, 1))
        for _ in range(3):
            table.add_column(no_wrap=True, overflow="ellipsis")
        bar = ProgressBar(total=float(self._epochs), completed=self._position, width=_BAR)
        number = min(self._done + 1, self._epochs)
        table.add_row(Text(f"epoch {number}/{self._epochs}"), bar, Text(self._words()))
        return table


def show_search(console: Console | None = None) -> Lines:
    """A bar if the output is a terminal, otherwise lines alone."""
    console = console or Console()
    plain = not console.is_terminal or os.environ.get("TERM") == "dumb"
    return Lines(console) if plain else Bar(console)


def epoch_words(event: Mapping[str, Any]) -> str:
    """Say in a line what an epoch brought."""
    validation = event["validation"]
    parts = []
    if event.get("train_loss") is not None:
        parts.append(f"train loss {event['train_loss']:.3f}")
    parts += [f"validation {name} {_number(value)}" for name, value in validation.items()]
    if "deviation" in event:
        parts.append(f"deviation {event['deviation']:.3f}")
    parts.append(f"cell {event['cell']['hash'][:6]}")
    parts.append(duration(event["seconds_epoch"]))
    return ", ".join(parts)


def _number(value: float | None) -> str:
    return "too large" if value is None or not math.isfinite(value) else f"{value:.4g}"

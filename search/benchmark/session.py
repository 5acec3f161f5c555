"""Simulated training: to an epoch, and later further, as if a checkpoint had been kept.

A session is the state of one search: one run of each recipe, the trainings so far and their times, and the best
recipe so far by validation loss over all trained epochs. With the clock `released` it counts as
nas_environment.py of fmsnew/nas-bench-nlp-release does (simulated_train, get_total_time,
get_test_loss_of_the_best_validated_architecture).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellzoo.errors import CellzooError
from search.benchmark.logs import WIKITEXT2

if TYPE_CHECKING:
    import random

    from search.benchmark.clock import Clock
    from search.benchmark.table import Architecture, Table


@dataclass(frozen=True, slots=True)
class Trained:
    """The state of a training. Losses in nats per word.

    Attributes:
        architecture: The recipe.
        run: Index of its run.
        epochs: Number of epochs trained, at most those of the log.
        valid: Validation loss after the last of them; NaN if it diverged.
        test: Test loss after the last of them.
        diverged: Whether it diverged within them.
        cost: Seconds that the last call added.
        seconds: Total seconds of this training.
    """

    architecture: Architecture
    run: int
    epochs: int
    valid: float
    test: float
    diverged: bool
    cost: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Incumbent:
    """The best so far, by validation loss.

    Attributes:
        architecture: The recipe.
        run: Index of its run.
        epoch: With the smallest validation loss, from 1.
        valid: That loss.
        test: The test loss after that epoch.
    """

    architecture: Architecture
    run: int
    epoch: int
    valid: float
    test: float


class Session:
    """The trainings of one search.

    Args:
        table: Has the logs.
        clock: Gives the training times.
        data: The data set of the trainings.
        generator: Draws which run of each recipe is used, so that searches also vary by the noise between runs;
            None for the first run of each.

    Attributes:
        states: Index of the architecture -> state of its training.
        incumbent: None before the first finite loss.
    """

    def __init__(
        self, table: Table, clock: Clock, data: str = WIKITEXT2, generator: random.Random | None = None
    ) -> None:
        self.table = table
        self.clock = clock
        self.data = data
        self.states: dict[int, Trained] = {}
        self.incumbent: Incumbent | None = None
        self._run: dict[int, int] = {}
        self._best: dict[tuple[int, int], tuple[int, float] | None] = {}
        for found in table.pool(data):
            runs = [run for run in table.runs(found, data) if table.epochs(run)]
            self._run[found.index] = runs[0] if generator is None else generator.choice(runs)

    @property
    def seconds(self) -> float:
        """Total seconds of all trainings."""
        return sum(state.seconds for state in self.states.values())

    def peek(self, architecture: Architecture, epochs: int) -> Trained:
        """The state that training to so many epochs would reach, without changing the session.

        Raises:
            CellzooError: The table has no epochs of the architecture, or fewer than one is requested.
        """
        run = self._run.get(architecture.index)
        if run is None:
            raise CellzooError(f"the table has no epochs of {architecture.number} on {self.data}")
        if epochs < 1:
            raise CellzooError(f"{epochs} epochs: expected at least 1")
        before = self.states.get(architecture.index)
        length = self.table.epochs(run)
        reached = self.clock.reached(epochs, length)
        if before is not None and reached <= before.epochs:
            return Trained(
                architecture,
                run,
                before.epochs,
                before.valid,
                before.test,
                before.diverged,
                0.0,
                before.seconds,
            )
        seconds = self.clock.seconds(run, reached)
        return Trained(
            architecture,
            run,
            reached,
            self.table.curve(run, "valid")[reached - 1],
            self.table.curve(run, "test")[reached - 1],
            self.table.diverged(run) and reached == length,
            seconds - (before.seconds if before is not None else 0.0),
            seconds,
        )

    def train(self, architecture: Architecture, epochs: int) -> Trained:
        """Train until a total of so many epochs; free, and without effect, if that was done before.

        Raises:
            CellzooError: As `peek`.
        """
        state = self.advance(architecture, epochs)
        self.observe(state)
        return state

    def advance(self, architecture: Architecture, epochs: int) -> Trained:
        """As `train`, but without updating the incumbent; `observe` does that."""
        state = self.peek(architecture, epochs)
        self.states[architecture.index] = state
        return state

    def loss(self, state: Trained, epochs: int) -> float:
        """The validation loss after so many epochs, or after the last one trained if that is earlier."""
        return self.table.curve(state.run, "valid")[
            min(self.clock.reached(epochs, state.epochs), state.epochs) - 1
        ]

    def observe(self, state: Trained) -> None:
        """Make the best epoch of a training the incumbent, if it is better."""
        best = self._best_epoch(state.run, state.epochs)
        if best is None or (self.incumbent is not None and not best[1] < self.incumbent.valid):
            return
        epoch, valid = best
        test = self.table.curve(state.run, "test")[epoch - 1]
        self.incumbent = Incumbent(state.architecture, state.run, epoch, valid, test)

    def best_of(self, architecture: Architecture) -> tuple[float, float] | None:
        """Validation and test loss at the epoch of the smallest validation loss of a complete run, if any."""
        run = self._run[architecture.index]
        best = self._best_epoch(run, self.table.epochs(run))
        return None if best is None else (best[1], self.table.curve(run, "test")[best[0] - 1])

    def _best_epoch(self, run: int, epochs: int) -> tuple[int, float] | None:
        """The epoch, from 1, with the smallest validation loss among the first so many, and that loss."""
        key = (run, epochs)
        if key not in self._best:
            seen = [(value, epoch) for epoch, value in enumerate(self.table.curve(run, "valid")[:epochs], 1)]
            finite = [pair for pair in seen if not math.isnan(pair[0])]
            best = min(finite, default=None)
            self._best[key] = None if best is None else (best[1], best[0])
        return self._best[key]

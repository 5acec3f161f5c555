"""Training in the table: to an epoch, and on from there later, as if a checkpoint had been kept.

A session is one search's view: it holds one run of each recipe, what was trained so far, what that took, and
the best recipe so far, chosen by validation loss over all epochs that were seen. With the clock `released` it
counts as nas_environment.py of fmsnew/nas-bench-nlp-release does (simulated_train, get_total_time,
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
    """Where a training stands. Losses in nats per word.

    Attributes:
        architecture: What was trained.
        run: Index of its run.
        epochs: That were trained, of those that the log has.
        valid: Validation loss after the last of them; NaN where it diverged.
        test: Test loss after the last of them.
        diverged: Whether it ended in NaN within them.
        cost: Seconds that the last call took.
        seconds: Seconds of this training in all.
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
        architecture: Which.
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
    """One search's trainings.

    Args:
        table: Where the numbers are from.
        clock: What they cost.
        data: What is trained on.
        generator: Draws which run of each recipe counts, so that searches differ by the noise of the seeds,
            too; the first run of each when None.

    Attributes:
        states: Index of the architecture -> where its training stands.
        incumbent: None before anything finite was seen.
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
        """What all trainings took in all."""
        return sum(state.seconds for state in self.states.values())

    def peek(self, architecture: Architecture, epochs: int) -> Trained:
        """Where training to so many epochs would lead from here, and what it would cost; trains nothing.

        Raises:
            CellzooError: The table has no epochs of the architecture, or fewer than one is asked for.
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
        """Train to so many epochs in all; nothing happens, and costs nothing, where that was done before.

        Raises:
            CellzooError: As `peek`.
        """
        state = self.advance(architecture, epochs)
        self.observe(state)
        return state

    def advance(self, architecture: Architecture, epochs: int) -> Trained:
        """As `train`, but the best so far stays as it is until the outcome is observed."""
        state = self.peek(architecture, epochs)
        self.states[architecture.index] = state
        return state

    def loss(self, state: Trained, epochs: int) -> float:
        """The validation loss after so many epochs or the last of the log, also where more were trained."""
        return self.table.curve(state.run, "valid")[
            min(self.clock.reached(epochs, state.epochs), state.epochs) - 1
        ]

    def observe(self, state: Trained) -> None:
        """Take the best epoch of a training as the best of all, if it is better than that."""
        best = self._best_epoch(state.run, state.epochs)
        if best is None or (self.incumbent is not None and not best[1] < self.incumbent.valid):
            return
        epoch, valid = best
        test = self.table.curve(state.run, "test")[epoch - 1]
        self.incumbent = Incumbent(state.architecture, state.run, epoch, valid, test)

    def best_of(self, architecture: Architecture) -> tuple[float, float] | None:
        """Validation and test loss of a whole run at its epoch with the smallest validation loss, if any."""
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

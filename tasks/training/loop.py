"""The training loop of trainings and searches: epochs, events, checkpoints, and exact resumption."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from cellzoo.errors import DataError, RunError
from tasks.training.checkpoint import Checkpoint, CheckpointFile, Standing
from tasks.training.events import EventLog, finite
from tasks.training.learner import Recovers, mean_numbers
from tasks.training.memory import peak_memory, start_peak_memory
from tasks.training.weights import NotFiniteError, check_finite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tasks.problem import Batch, Problem
    from tasks.training.learner import Learner, Numbers
    from tasks.training.streams import RandomStreams

STEP_EVENTS = 10
"""Step events per epoch, evenly spaced."""
_REPORTS_AN_EPOCH = 25
CHECKPOINT, EVENTS = "checkpoint.safetensors", "events.jsonl"


@dataclass(frozen=True)
class Budget:
    """Limits of a training; the learner may finish earlier.

    Attributes:
        epochs: Maximum number of epochs.
        max_steps: Maximum number of steps; 0 for no limit.
        max_seconds: Maximum seconds of training and evaluation on dev; 0 for no limit.
    """

    epochs: int
    max_steps: int = 0
    max_seconds: float = 0.0


@dataclass(frozen=True)
class Place:
    """Where a training stores its state, and how it reports progress.

    Attributes:
        folder: Holds the checkpoint and the event log.
        identity: Hash of everything that determines the result except the budget, so that a finished training
            can be continued with a larger budget.
        label: Name of the run in messages, such as `wnut17 lstm seed 0`.
        report: Progress callback: the fraction of the budget that is used, and a short text.
    """

    folder: Path
    identity: str
    label: str
    report: Callable[[float, str], None]


class Conclude(Protocol):
    """A callback after the last epoch, such as the choice of the final cell of a search."""

    def __call__(self, validation: Iterator[Batch], progress: Callable[[int, int], None]) -> Mapping[str, Any]:
        """Run the callback.

        Args:
            validation: Batches of dev, from their start.
            progress: Progress callback: units done, and units in total.

        Returns:
            The content of the event `end`.

        Raises:
            RunError: A loss is not finite.
        """
        ...


def train(
    learner: Learner,
    problem: Problem,
    budget: Budget,
    streams: RandomStreams,
    place: Place,
    conclude: Conclude | None = None,
) -> Standing:
    """Train, or resume a training that was interrupted, until the budget is used.

    A training that is resumed from its checkpoint writes the same events and ends with the same weights as one
    that was never interrupted. The learner is left in its last state.

    Args:
        learner: Newly built; call this function within `streams.in_force()`.
        problem: The data and the loss.
        budget: When to stop.
        streams: All random number generators.
        place: Where the checkpoint and the events are stored.
        conclude: Called after the last epoch, and called again if the process is killed before it has finished.

    Raises:
        RunError: A loss is not finite, and the learner cannot recover or has done so before; the last
            checkpoint is kept.
        OutputError: A file cannot be written.
        DataError: The checkpoint is damaged or belongs to another run.
    """
    loop = _Loop(learner, problem, budget, streams, place)
    try:
        loop.run()
        if conclude is not None:
            loop.conclude(conclude)
    finally:
        loop.log.close()
    return loop.standing


class _Loop:
    def __init__(
        self, learner: Learner, problem: Problem, budget: Budget, streams: RandomStreams, place: Place
    ) -> None:
        self.learner = learner
        self.problem = problem
        self.budget = budget
        self.streams = streams
        self.place = place
        self.file = CheckpointFile(place.folder / CHECKPOINT, place.identity)
        self.standing = Standing()
        checkpoint = self.file.read()
        if checkpoint is not None:
            self.standing = checkpoint.standing
            try:
                learner.restore(checkpoint.learner)
                streams.restore(checkpoint.random)
            except DataError as error:
                raise DataError(f"{self.file.path}: {error}; delete the file to train from scratch") from error
        self.log = EventLog(place.folder / EVENTS, self.standing.events)
        self.steps_in_epoch = max(1, problem.steps)
        self.score = ""

    def run(self) -> None:
        """Run the remaining epochs."""
        start_peak_memory(self.streams.device)
        if self.standing.epoch == 0:
            self._note(
                "start", identity=self.place.identity, label=self.place.label, facts=dict(self.problem.facts)
            )
        while not self._is_over():
            self._epoch()

    def conclude(self, conclude: Conclude) -> None:
        """Run the callback after the last epoch, and log its result."""

        def progress(done: int, of: int) -> None:
            self.place.report(1.0, f"after the last epoch: {done} of {of}")

        validation = self.problem.validation_batches(self.streams.validation)
        try:
            content = conclude(validation, progress)
        except RunError as error:
            raise self._stopped("the end", error) from error
        self._note("end", epoch=self.standing.epoch, step=self.standing.steps, **content)
        self.log.sync()

    def _is_over(self) -> bool:
        used = self.standing
        return (
            self.learner.finished
            or used.epoch >= self.budget.epochs
            or self._is_used_up(used.steps, sum(used.seconds.values()))
        )

    def _is_used_up(self, steps: int, seconds: float) -> bool:
        by_steps = 0 < self.budget.max_steps <= steps
        return by_steps or 0.0 < self.budget.max_seconds <= seconds

    def _epoch(self) -> None:
        began = time.perf_counter()
        try:
            self._pass(began)
        except RunError as error:
            if not self._goes_back(error.__cause__, began):
                raise

    def _goes_back(self, cause: BaseException | None, began: float) -> bool:
        """Try to recover from a loss that was not finite; returns whether the failed epoch can be repeated.

        No checkpoint is written here. If the process is killed before the next one, the resumed training fails
        at the same step and recovers in the same way.
        """
        if not isinstance(cause, NotFiniteError) or not isinstance(self.learner, Recovers):
            return False
        restored = self.learner.recover()
        if restored is None:
            return False
        self._note(
            "rollback", epoch=self.standing.epoch + 1, step=self.standing.steps, why=str(cause), **restored
        )
        spent = self.standing.seconds.get("train", 0.0) + time.perf_counter() - began
        self.standing = self.standing.model_copy(update={"seconds": {**self.standing.seconds, "train": spent}})
        return True

    def _pass(self, began: float) -> None:
        before = self.standing
        place = f"epoch {before.epoch + 1}"
        current: dict[str, Any] = dict(self.learner.start_epoch(before.epoch, self.budget.epochs))
        validation = self.problem.validation_batches(self.streams.validation)
        steps, tokens, numbers = self._steps(current, validation, began)
        try:
            closing = self.learner.end_epoch(validation)
        except RunError as error:
            raise self._stopped(f"the end of {place}", error) from error
        trained = time.perf_counter()
        evaluation = self.problem.evaluate(self.learner.model, "dev")
        try:
            decided = self.learner.evaluated(evaluation)
        except RunError as error:
            raise self._stopped(f"the evaluation after {place}", error) from error
        evaluated = time.perf_counter()
        event = finite(
            {
                "epoch": before.epoch + 1,
                "step": before.steps + steps,
                **current,
                **numbers,
                **closing,
                "dev": dict(evaluation.metrics),
                **decided,
                **self.learner.notes(),
                "seconds": trained - began,
                "seconds_dev": evaluated - trained,
            }
        )
        self._note("epoch", **event)
        self.standing = Standing(
            epoch=before.epoch + 1,
            steps=before.steps + steps,
            tokens=before.tokens + tokens,
            seconds={
                "train": before.seconds.get("train", 0.0) + trained - began,
                "dev": before.seconds.get("dev", 0.0) + evaluated - trained,
            },
            events=self.log.sync(),
            history=(*before.history, event),
        )
        self.file.write(Checkpoint(self.standing, self.learner.state(), self.streams.state()))
        shown = self.problem.selection
        self.score = f", dev {shown} {evaluation.metrics[shown]:.4g}"
        self._report(0.0)

    def _steps(
        self, current: dict[str, Any], validation: Iterator[Batch], began: float
    ) -> tuple[int, int, Numbers]:
        """Run one pass over the training data; returns steps, tokens and the averaged numbers."""
        used = sum(self.standing.seconds.values())
        means, since = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
        every = max(1, self.problem.steps // STEP_EVENTS)  # does not depend on where a run resumed
        report_every = max(1, self.steps_in_epoch // _REPORTS_AN_EPOCH)
        steps = tokens = 0
        for batch in self.problem.train_batches(self.streams.train):
            try:
                numbers = self.learner.step(batch, validation)
                require_finite(numbers)
            except RunError as error:
                raise self._stopped(f"epoch {self.standing.epoch + 1}, step {steps + 1}", error) from error
            steps += 1
            tokens += batch.tokens
            for name, value in numbers.items():
                means[name].append(value)
                since[name].append(value)
            if steps % every == 0:
                self._note(
                    "step",
                    epoch=self.standing.epoch + 1,
                    step=self.standing.steps + steps,
                    **{**current, **mean_numbers(since)},
                    **self.learner.notes(),
                )
                since.clear()
            if steps % report_every == 0:
                self._report(min(1.0, steps / self.steps_in_epoch))
            if self._is_used_up(self.standing.steps + steps, used + time.perf_counter() - began):
                break
        else:
            self.steps_in_epoch = max(1, steps)
        return steps, tokens, mean_numbers(means)

    def _note(self, kind: str, **content: Any) -> None:
        self.log.write({"event": kind, **content, "peak_memory": peak_memory(self.streams.device)})

    def _report(self, part: float) -> None:
        epoch, epochs = self.standing.epoch, self.budget.epochs
        done = [(epoch + part) / epochs]
        if self.budget.max_steps:
            done.append((self.standing.steps + part * self.steps_in_epoch) / self.budget.max_steps)
        if self.budget.max_seconds:
            done.append(sum(self.standing.seconds.values()) / self.budget.max_seconds)
        self.place.report(min(1.0, max(done)), f"epoch {min(epoch + 1, epochs)}/{epochs}{self.score}")

    def _stopped(self, where: str, error: RunError) -> RunError:
        epoch = self.standing.epoch
        kept = (
            f"the checkpoint of epoch {epoch} is kept: {self.file.path}"
            if epoch
            else "there is no checkpoint yet"
        )
        return RunError(f"{self.place.label}: stopped at {where}: {error}; {kept}")


def require_finite(numbers: Numbers) -> None:
    """Check that all numbers of a step are finite.

    Raises:
        NotFiniteError: One is not.
    """
    for name, value in numbers.items():
        check_finite(value, name)

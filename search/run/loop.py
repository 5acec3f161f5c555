"""The search itself: epochs, events, checkpoints, and in the end the cell."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cellzoo.errors import RunError
from search.run.chance import Chance
from search.run.checkpoint import Standing, load_checkpoint, save_checkpoint
from search.run.events import EventLog
from search.run.found import found_name, in_words, write_found
from search.run.measures import beliefs, peak_memory, start_peak_memory
from search.run.memory import memory_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import torch

    from cellzoo.cells.cell import Cell
    from search.methods.method import Method
    from search.objectives.kind import Prepared
    from search.objectives.objective import Objective
    from search.run.configuration import Configuration, Surroundings
    from search.run.directory import RunDirectory
    from search.run.listener import Listener

STEP_EVENTS = 10
"""Step events an epoch, evenly spread."""


@dataclass(frozen=True)
class Plan:
    """A search that is ready to begin or to go on.

    Attributes:
        configuration: What decides its result.
        surroundings: Where it takes place.
        prepared: The objective.
        build: Makes the method from the objective and a generator.
        device: Where it runs.
    """

    configuration: Configuration
    surroundings: Surroundings
    prepared: Prepared
    build: Callable[[Objective, torch.Generator], Method]
    device: torch.device


def run_search(plan: Plan, directory: RunDirectory, listener: Listener) -> None:
    """Search, or go on with a search that was stopped or killed, until `found.toml` is there.

    A search that goes on from its checkpoint writes the same events and finds the same cell as one that was
    never stopped.

    Args:
        plan: The search.
        directory: Where it lies; not held by the caller.
        listener: Is told how it goes.

    Raises:
        RunError: A loss is no finite number, or memory ran out; the last checkpoint is kept.
        OutputError: Something cannot be written, or another process holds the directory.
        DataError: The directory or its checkpoint belongs to another search.
    """
    with directory.hold(plan.configuration):
        if directory.found.exists():
            return
        chance = Chance(plan.configuration.seed, plan.device)
        with chance.in_force(), memory_errors(str(directory.path)):
            start_peak_memory(plan.device)
            search = _Search(plan, directory, chance, listener)
            stopped = False
            try:
                search.run()
            except KeyboardInterrupt:
                stopped = True
                raise
            finally:
                listener.end(stopped)
                search.log.close()


class _Search:
    def __init__(self, plan: Plan, directory: RunDirectory, chance: Chance, listener: Listener) -> None:
        self.plan = plan
        self.directory = directory
        self.chance = chance
        self.listener = listener
        self.objective = plan.prepared.objective
        self.method = plan.build(self.objective, chance.method)
        directory.begin(plan.configuration, plan.surroundings)
        self.standing = Standing()
        if directory.checkpoint.exists():
            identity = plan.configuration.identity
            self.standing, state, random = load_checkpoint(directory.checkpoint, identity)
            self.method.restore(state)
            chance.restore(random)
        self.log = EventLog(directory.events, self.standing.events)
        self.began = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Wall seconds so far, but for those of work that a kill undid."""
        return self.standing.seconds + time.perf_counter() - self.began

    def run(self) -> None:
        """Go through the epochs that are left, and conclude."""
        configuration = self.plan.configuration
        label = f"{configuration.method} on {configuration.data}, seed {configuration.seed}"
        self.listener.begin(label, configuration.epochs, self.standing.epoch, self.plan.prepared.steps)
        if self.standing.epoch == 0:
            self._note("start", identity=configuration.identity, facts=dict(self.plan.prepared.facts))
        while self.standing.epoch < configuration.epochs:
            event = self._epoch()
            self._save()
            self.listener.epoch(event)
        self.listener.concluding()
        self._conclude()

    def _epoch(self) -> dict[str, Any]:
        epoch, began = self.standing.epoch, time.perf_counter()
        current: dict[str, Any] = dict(self.method.start_epoch(epoch, self.plan.configuration.epochs))
        validation = self.objective.validation_batches(self.chance.validation)
        means = _Means()
        every = max(1, self.plan.prepared.steps // STEP_EVENTS)
        steps = 0
        for batch in self.objective.train_batches(self.chance.train):
            try:
                numbers = self.method.step(batch, validation)
                _require_finite(numbers)
            except RunError as error:
                raise self._diverged(f"epoch {epoch + 1}, step {steps + 1}", error) from error
            steps += 1
            means.add(numbers)
            self.listener.step(steps, numbers)
            if steps % every == 0:
                self._note(
                    "step",
                    epoch=epoch + 1,
                    step=self.standing.steps + steps,
                    **{**current, **means.since()},
                    **self._architecture(self.method.derive()),
                )
        try:
            closing = dict(self.method.end_epoch(validation))
            judged = self.objective.evaluate(self.method.model)
            if not math.isfinite(judged["loss"]) and not self.method.give_up():
                raise RunError(f"validation_loss is {judged['loss']}")
        except RunError as error:
            raise self._diverged(f"the end of epoch {epoch + 1}", error) from error
        cell = self.method.derive()
        self.standing = replace(
            self.standing, epoch=epoch + 1, steps=self.standing.steps + steps, cell=cell.hash
        )
        return self._note(
            "epoch",
            epoch=epoch + 1,
            step=self.standing.steps,
            **{**current, **means.all(), **closing},
            validation=judged,
            **self._architecture(cell),
            seconds_epoch=round(time.perf_counter() - began, 3),
        )

    def _conclude(self) -> None:
        try:
            validation = self.objective.validation_batches(self.chance.validation)
            cell = self.method.conclude(validation, self.listener.judged)
        except RunError as error:
            raise self._diverged("the choice of the cell", error) from error
        seconds = self.seconds
        self._note(
            "end",
            epoch=self.standing.epoch,
            step=self.standing.steps,
            **self._architecture(cell),
            name=found_name(self.plan.configuration, cell),
        )
        self.log.sync()
        self._write_found(cell, seconds)

    def _write_found(self, cell: Cell, seconds: float) -> None:
        write_found(
            self.directory.found,
            cell,
            self.plan.configuration,
            self.plan.surroundings,
            {"search_steps": self.standing.steps, "search_seconds": round(seconds, 1)},
        )

    def _architecture(self, cell: Cell) -> dict[str, Any]:
        """How decided the search is, and a cell."""
        notation, genotype = in_words(cell, self.plan.configuration.method)
        named = {"hash": cell.hash, "notation": notation, "genotype": genotype}
        return {**beliefs(self.method.distribution()), "cell": named}

    def _note(self, kind: str, **content: Any) -> dict[str, Any]:
        """Write an event, with the time and memory so far."""
        event = {
            "event": kind,
            **content,
            "seconds": round(self.seconds, 3),
            "peak_memory": peak_memory(self.plan.device),
        }
        self.log.write(event)
        return event

    def _save(self) -> None:
        size, now = self.log.sync(), time.perf_counter()
        self.standing = replace(self.standing, events=size, seconds=self.standing.seconds + now - self.began)
        self.began = now
        save_checkpoint(
            self.directory.checkpoint,
            self.plan.configuration.identity,
            self.standing,
            self.method.state(),
            self.chance.state(),
        )

    def _diverged(self, place: str, error: RunError) -> RunError:
        done = self.directory.checkpoint.exists()
        kept = (
            f"the checkpoint of epoch {self._saved_epoch()} is kept: {self.directory.checkpoint}"
            if done
            else "there is no checkpoint yet"
        )
        return RunError(
            f"{self.directory.path}: stopped at {place}: {error}; {kept}. "
            "The same search would stop there again; try a smaller learning rate or clip in another directory"
        )

    def _saved_epoch(self) -> int:
        return load_checkpoint(self.directory.checkpoint, self.plan.configuration.identity)[0].epoch


class _Means:
    """Means of what steps report, over an epoch and since the last step event."""

    def __init__(self) -> None:
        self._all: dict[str, list[float]] = defaultdict(list)
        self._since: dict[str, list[float]] = defaultdict(list)

    def add(self, numbers: Mapping[str, float]) -> None:
        """Take the numbers of a step."""
        for name, value in numbers.items():
            self._all[name].append(value)
            self._since[name].append(value)

    def all(self) -> dict[str, float]:
        """Name -> mean over the epoch."""
        return {name: sum(values) / len(values) for name, values in self._all.items()}

    def since(self) -> dict[str, float]:
        """Name -> mean since the last call."""
        means = {name: sum(values) / len(values) for name, values in self._since.items()}
        self._since.clear()
        return means


def _require_finite(numbers: Mapping[str, float]) -> None:
    for name, value in numbers.items():
        if not math.isfinite(value):
            raise RunError(f"{name} is {value}")

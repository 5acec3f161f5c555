"""A search in the table as a task: its subject is a sampler, and its result is a cell file.

The history has the format of other searches with samplers (`search.run.history`); its seconds are simulated. A
search that was killed is repeated from the start, which takes seconds, and must produce the lines that its
history has already.
"""

from __future__ import annotations

import random
import time
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, JsonValue

from cellzoo.errors import DataError, RunError
from search.benchmark.clock import CORRECTED
from search.benchmark.pool import searchable
from search.benchmark.regret import HOUR, Method, best_possible, build_sampler
from search.benchmark.session import Session
from search.benchmark.simulate import simulate
from search.benchmark.table import Table
from search.benchmark.timing import make_clock
from search.methods.derived import CellNote
from search.run.found import FOUND, found_name, write_found
from search.run.history import Asked, Started, Told, read_history
from tasks.metric import Metric
from tasks.registry import TaskSource
from tasks.settings import Positive, Settings, Size
from tasks.task import Outcome, ParameterCounts, Task
from tasks.training.events import EventLog
from tasks.training.loop import EVENTS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from search.benchmark.pool import PoolSpace
    from search.run.history import AnyLine
    from search.samplers.sampler import Proposal, Sampler
    from tasks.data.found import FoundData
    from tasks.task import Context, Subject

SOURCE = TaskSource("search.benchmark.task:TableTask", "cellzoo")
DATA = "nas-bench-nlp"
ROLE: Literal["table"] = "table"
DEV = Metric("dev_loss", "dev loss (nats per word)", higher_is_better=False, digits=3)
METRICS = (
    Metric("loss", "test loss (nats per word)", higher_is_better=False, digits=3),
    DEV,
    Metric("simple_regret", "simple regret (nats per word)", higher_is_better=False, digits=3),
    Metric("inference_regret", "inference regret (nats per word)", higher_is_better=False, digits=3),
    Metric("hours", "simulated time (h)", higher_is_better=False, digits=1),
)


class TableSettings(Settings):
    """How the table is searched.

    Attributes:
        method: Name of the sampler.
        method_settings: Settings of the sampler.
        clock: Gives the training times, see `search.benchmark.clock`.
        hours: Simulated hours of each simulated worker.
        simulated_workers: Trainings at a time.
        hand_designed: Whether RNN, LSTM and GRU are in the pool.
    """

    method: str
    method_settings: dict[str, JsonValue] = Field(default={})
    clock: str = CORRECTED
    hours: Positive = 100.0
    simulated_workers: Size = 1
    hand_designed: bool = True


class TableTask(Task):
    """Finds a cell in the table. The numbers are those of `cellzoo table compare` for the same seed."""

    name = "table-search"
    title = "Search in NAS-Bench-NLP"
    revision = 1
    settings = TableSettings
    leaves = FOUND

    def data(self, config: TableSettings) -> tuple[str, ...]:
        """See `Task`."""
        return (DATA,)

    def metrics(self, config: TableSettings) -> tuple[Metric, ...]:
        """See `Task`: of the best recipe and epoch by validation loss among those that were trained."""
        return METRICS

    def check(self, config: TableSettings, data: Mapping[str, FoundData]) -> None:
        """See `Task`.

        Raises:
            CellzooError: There is no such clock, or the sampler cannot search the table.
        """
        table, space = _open(config, data)
        make_clock(table, config.clock)
        build_sampler(_method(config), space, random.Random(0))  # noqa: S311 - a seed

    def run(self, config: TableSettings, subject: Subject, seed: int, context: Context) -> Outcome:
        """See `Task`; leaves `found.toml` in the work folder and as the artifact."""
        began = time.perf_counter()
        context.report(0.0, "searching")
        table, space = _open(config, context.data)
        clock = make_clock(table, config.clock)
        # The draws are those of `regret.run_trial`.
        session = Session(table, clock, generator=random.Random(f"runs {seed}"))  # noqa: S311 - a seed
        draws = random.Random(f"{config.method} {seed}")  # noqa: S311 - a seed
        history = _History(context.work / EVENTS, Started(identity=context.identity, label=context.label))
        sampler = _Noted(build_sampler(_method(config), space, draws), space, session, history)
        try:
            course = simulate(
                sampler, space, session, seconds=config.hours * HOUR, workers=config.simulated_workers
            )
            history.check()
        finally:
            history.close()
        best = session.incumbent
        if best is None:
            raise RunError(f"no training has ended well within {config.hours:g} simulated hours")
        cell = _note(space, best.architecture.number)
        dev, test = best_possible(session, space)
        note = f"ended: {course.ended}; recipe {best.architecture.number} at epoch {best.epoch}"
        digest = context.data[DATA].sha256[ROLE]
        for path in (context.work / FOUND, *([context.artifact] if context.artifact else [])):
            write_cell(path, cell, config, digest, seed, context.key)
        return Outcome(
            metrics={
                "loss": best.test,
                "dev_loss": best.valid,
                "simple_regret": best.valid - dev,
                "inference_regret": best.test - test,
                "hours": course.seconds / HOUR,
            },
            items=[{"split": "dev", **cell.model_dump(mode="json", exclude_none=True)}],
            parameters=ParameterCounts(0, 0, 0),
            flops_per_token=0,
            tokens=0,
            seconds={"search": time.perf_counter() - began},
            facts={"search trainings": len(course.points), "search unfinished": course.unfinished},
            notes=(note,),
        )


def write_cell(
    path: Path, cell: CellNote, config: TableSettings, table: str, seed: int, key: str, ending: str = ""
) -> None:
    """Write the cell file of a search.

    Args:
        path: Where.
        cell: The cell.
        config: How the table was searched.
        table: Digest of the table.
        seed: Of the search.
        key: Of its record.
        ending: Of the name, before the digits of the hash.

    Raises:
        OutputError: It cannot be written.
    """
    write_found(
        path,
        found_name(config.method, DATA, seed, cell.hash, ending),
        cell,
        f"searched with cellzoo {version('cellzoo')}, {config.method} in a table, seed {seed}",
        f"{DATA} ({config.clock} clock, {config.hours:g} simulated hours)",
        {"search": key, **config.model_dump(mode="json"), "table": table, "seed": seed},
    )


class _History:
    """Appends lines to a history, or compares them with the lines that the file has already.

    A line that differs is reported by `check`, not at once: the simulation takes a `CellzooError` of a sampler
    to mean that it has nothing left to propose.

    Args:
        path: The file.
        first: The first line.

    Raises:
        DataError: The file is not a history.
    """

    def __init__(self, path: Path, first: Started) -> None:
        self.path = path
        self.there, size = read_history(path) if path.exists() else ([], 0)
        self.written = self.changed = 0
        self.log = EventLog(path, size)
        self.add(first)

    def add(self, line: AnyLine) -> None:
        """Append the next line, or compare it."""
        self.written += 1
        if self.written > len(self.there):
            self.log.write(line.model_dump(mode="json", exclude_none=False))
        elif self.there[self.written - 1] != line:
            self.changed = self.changed or self.written

    def check(self) -> None:
        """Flush a complete history to disk, and check that it is that of this search.

        Raises:
            DataError: A line that the file had already differs, or it has more lines.
        """
        self.log.sync()
        if self.changed or self.written < len(self.there):
            raise DataError(
                f"{self.path}:{self.changed or self.written + 1}: is not what this search does; the file was "
                "changed, or was written by another version of cellzoo. Delete it to search from scratch"
            )

    def close(self) -> None:
        """Close the file."""
        self.log.close()


class _Noted:
    """A `Sampler` whose calls are recorded in a history.

    Args:
        sampler: The sampler.
        space: The searched space.
        session: Has the times of the trainings.
        history: Records the calls.
    """

    def __init__(self, sampler: Sampler, space: PoolSpace, session: Session, history: _History) -> None:
        self.sampler, self.space, self.session, self.history = sampler, space, session, history
        self.paid: dict[int, float] = {}

    def ask(self) -> Proposal | None:
        """See `Sampler`."""
        proposal = self.sampler.ask()
        if proposal is not None:
            cell = _note(self.space, proposal.genotype)
            self.history.add(Asked(number=proposal.number, epochs=proposal.epochs, cell=cell))
        return proposal

    def tell(self, proposal: Proposal, score: float | None) -> None:
        """See `Sampler`."""
        index = self.space.architectures[proposal.genotype].index
        paid, before = self.session.states[index].seconds, self.paid.get(index, 0.0)
        self.paid[index] = paid
        self.history.add(
            Told(
                number=proposal.number,
                score=score,
                shared=paid == before,
                failure="" if score is not None else "it diverged",
                seconds=paid - before,
            )
        )
        self.sampler.tell(proposal, score)


def _note(space: PoolSpace, number: int) -> CellNote:
    recipe = space.architectures[number].recipe
    return CellNote(hash=space.to_cell(number).hash, notation="nas-bench-nlp", genotype=recipe)


def _method(config: TableSettings) -> Method:
    return Method(config.method, config.method, tuple(config.method_settings.items()))


def _open(config: TableSettings, data: Mapping[str, FoundData]) -> tuple[Table, PoolSpace]:
    """Read the table.

    Raises:
        DataError: It cannot be read, or was replaced by another one.
    """
    found: Any = data[DATA]
    path = found.parts[ROLE].path
    table = Table.read(path)
    if table.digest != found.sha256[ROLE]:
        raise DataError(f"{path}: was changed while the search ran")
    return table, searchable(table, hand_designed=config.hand_designed)

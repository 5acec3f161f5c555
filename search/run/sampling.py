"""Drives a sampler: asks when a worker is free, tells what comes back, in any order.

Each call of the sampler is a line of the history (`events.jsonl` in the search's folder), which is written
before anything is trained. A search that was killed is built anew from its seed, goes through the history
again, and has then the candidates that were open; their runs go on from their checkpoints.
"""

from __future__ import annotations

import json
import math
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from cellzoo.errors import CellzooError, DataError, RunError
from search.methods.derived import CellNote, describe_cell
from search.registry import find_method
from search.run.settings import SECONDS, cell_notes, method_settings, selection_of
from tasks.runs.events import Failure
from tasks.training.events import EventLog
from tasks.training.loop import EVENTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cellzoo.cells.cell import Cell
    from search.run.settings import SearchSettings
    from search.samplers.sampler import Proposal, Sampler
    from search.spaces.space import Space
    from tasks.runs.job import Job
    from tasks.runs.record import RunRecord
    from tasks.task import Outcome

_LONGEST_LINE = 1_000_000


@dataclass(frozen=True)
class Score:
    """What a cell is worth.

    Attributes:
        value: Finite, and better the lower it is.
        seconds: What it cost to know.
        record: Key of the record it is from, if it is from one.
    """

    value: float
    seconds: float = 0.0
    record: str = ""


class Evaluator(Protocol):
    """Says what cells are worth: by training them, or from a table."""

    def look_up(self, cell: Cell, epochs: int) -> Score | None:
        """The score of a cell after so many epochs, where nothing has to be trained for it."""
        ...

    def job(self, cell: Cell, epochs: int) -> Job | None:
        """The run that would tell; None where only looking up is possible, so that the candidate fails."""
        ...

    def score(self, record: RunRecord) -> Score | None:
        """Read a score off the record of such a run; None where it is undefined."""
        ...


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Asked(_Line):
    """The sampler proposed a cell."""

    event: Literal["ask"] = "ask"
    number: Annotated[int, Field(ge=0)]
    epochs: Annotated[int, Field(ge=1)]
    cell: CellNote


class Told(_Line):
    """The sampler was told what a proposal is worth.

    Attributes:
        number: Of the proposal.
        score: As in `Sampler.tell`.
        shared: Whether the same graph was evaluated before.
        failure: Why there is no score.
        seconds: Of training and evaluation.
        record: Key of the record.
    """

    event: Literal["tell"] = "tell"
    number: Annotated[int, Field(ge=0)]
    score: Annotated[float, Field(allow_inf_nan=False)] | None
    shared: bool = False
    failure: Annotated[str, Field(max_length=2000)] = ""
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    record: Annotated[str, Field(max_length=64)] = ""


class Started(_Line):
    """The search began."""

    event: Literal["start"] = "start"
    identity: Annotated[str, Field(max_length=64)]
    label: Annotated[str, Field(max_length=400)]


Line: TypeAlias = Annotated[Started | Asked | Told, Field(discriminator="event")]
_LINES: TypeAdapter[Started | Asked | Told] = TypeAdapter(Line)


@dataclass
class _Open:
    """A graph that is being trained, with the proposals that wait for it."""

    job: Job
    proposals: list[Proposal] = field(default_factory=list)


class Sampling:
    """One search with a sampler.

    Args:
        config: What is searched, and how.
        seed: Of the search.
        evaluator: Says what a cell is worth.
        end: The job that concludes the search.
        folder: Where its history is.
        workers: Candidates at a time.

    Raises:
        DataError: The history is another search's, or was changed.
        OutputError: It cannot be written.
    """

    def __init__(
        self, config: SearchSettings, seed: int, evaluator: Evaluator, end: Job, folder: Path, workers: int
    ) -> None:
        settings = method_settings(config)
        self.evaluator = evaluator
        self.end = end
        self.workers = workers
        self.space: Space[Any] = settings.cells()
        kind: Any = find_method(config.method)
        generator = random.Random(seed)  # noqa: S311 - a seed, not a secret
        self.sampler: Sampler = kind.build(settings, self.space, generator)
        self._notation = settings.space
        self._scores: dict[tuple[str, int], Score | None] = {}
        self._open: dict[tuple[str, int], _Open] = {}
        self._waiting: dict[int, tuple[Proposal, Cell]] = {}
        self._has_ended = False
        path = folder / EVENTS
        lines, size = read_history(path) if path.exists() else ([], 0)
        folder.mkdir(parents=True, exist_ok=True)
        self._log = EventLog(path, size)
        if not lines:
            self._write(Started(identity=end.identity, label=end.label))
        elif not isinstance(lines[0], Started) or lines[0].identity != end.identity:
            raise DataError(f"{path}: is the history of another search; put the right file back, or delete it")
        for number, line in enumerate(lines[1:], start=2):
            try:
                self._replay(line)
            except (CellzooError, LookupError) as error:
                raise DataError(
                    f"{path}:{number}: does not follow from the lines before it ({error}); the file was "
                    "changed, or this is another version of cellzoo. Delete it to search from scratch"
                ) from error

    def start(self) -> list[Job]:
        """The jobs to begin with: what was open when the search was stopped, and new candidates."""
        jobs: list[Job] = []
        for proposal, cell in list(self._waiting.values()):
            jobs += self._begin(proposal, cell)
        return jobs + self._ask()

    def takes(self, job: Job) -> bool:
        """Whether a job is a candidate of this search that is being trained."""
        return any(one.job.key == job.key for one in self._open.values())

    def result(self, job: Job, result: RunRecord | Failure) -> list[Job]:
        """Take the result of a candidate; returns the jobs that it makes possible."""
        graph = next(graph for graph, one in self._open.items() if one.job.key == job.key)
        if isinstance(result, Failure):
            if result.stops_all:
                return []
            self._settle(graph, None, result.message)
        else:
            score = self.evaluator.score(result)
            self._settle(graph, score, "" if score else "the metric on dev is undefined")
        return self._ask()

    def close(self) -> None:
        """Close the history."""
        self._log.close()

    def _ask(self) -> list[Job]:
        """Propose cells until all workers have one; the concluding job once nothing is left to propose."""
        jobs: list[Job] = []
        while len(self._waiting) < self.workers:
            proposal = self.sampler.ask()
            if proposal is None:
                break
            cell = self.space.to_cell(proposal.genotype)
            self._waiting[proposal.number] = (proposal, cell)
            note = describe_cell(cell, self._notation)
            self._write(Asked(number=proposal.number, epochs=proposal.epochs, cell=note))
            jobs += self._begin(proposal, cell)
        if not self._waiting and not self._has_ended:
            self._has_ended = True
            jobs.append(self.end)
        return jobs

    def _begin(self, proposal: Proposal, cell: Cell) -> list[Job]:
        """Find a proposal's score, or the job that will; equal graphs share one."""
        graph = (cell.hash, proposal.epochs)
        if graph in self._open:
            self._open[graph].proposals.append(proposal)
            return []
        if graph in self._scores:
            self._tell(proposal, self._scores[graph], shared=True)
            return []
        score = self.evaluator.look_up(cell, proposal.epochs)
        job = None if score is not None else self.evaluator.job(cell, proposal.epochs)
        if job is not None:
            self._open[graph] = _Open(job, [proposal])
            return [job]
        self._scores[graph] = score
        self._tell(proposal, score, failure="" if score else "the table does not have this cell")
        return []

    def _settle(self, graph: tuple[str, int], score: Score | None, failure: str = "") -> None:
        self._scores[graph] = score
        first, *others = self._open.pop(graph).proposals
        self._tell(first, score, failure=failure)
        for proposal in others:
            self._tell(proposal, score, shared=True)

    def _tell(
        self, proposal: Proposal, score: Score | None, *, shared: bool = False, failure: str = ""
    ) -> None:
        del self._waiting[proposal.number]
        told = Told(
            number=proposal.number,
            score=None if score is None else score.value,
            shared=shared,
            failure=failure[:2000],
            seconds=0.0 if score is None or shared else score.seconds,
            record="" if score is None else score.record,
        )
        self._write(told)
        self.sampler.tell(proposal, told.score)

    def _replay(self, line: Started | Asked | Told) -> None:
        if isinstance(line, Asked):
            proposal = self.sampler.ask()
            cell = None if proposal is None else self.space.to_cell(proposal.genotype)
            if (
                proposal is None
                or cell is None
                or (proposal.number, cell.hash) != (line.number, line.cell.hash)
            ):
                raise CellzooError("the sampler proposes another cell")
            self._waiting[proposal.number] = (proposal, cell)
        elif isinstance(line, Told):
            proposal, cell = self._waiting.pop(line.number)
            score = None if line.score is None else Score(line.score, line.seconds, line.record)
            self._scores[cell.hash, proposal.epochs] = score
            self.sampler.tell(proposal, line.score)
        else:
            raise CellzooError("a search begins once")

    def _write(self, line: Started | Asked | Told) -> None:
        self._log.write(line.model_dump(mode="json", exclude_none=False))
        self._log.sync()


def read_history(path: Path) -> tuple[list[Started | Asked | Told], int]:
    """Read the history of a sampler; a last line that a kill cut off is left out.

    Returns:
        The lines, and the bytes that they take.

    Raises:
        DataError: A line is not one of a history; the message names it.
    """
    lines: list[Started | Asked | Told] = []
    size = 0
    for number, text in enumerate(_whole_lines(path), start=1):
        try:
            lines.append(_LINES.validate_json(text))
        except ValidationError as error:
            fault = error.errors()[0]
            place = ".".join(map(str, fault["loc"])) or "line"
            raise DataError(
                f"{path}:{number}: is not a line of a history ({place}: {fault['msg']:.200})"
            ) from error
        size += len(text) + 1
    return lines, size


def _whole_lines(path: Path) -> Iterator[bytes]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        if len(line) > _LONGEST_LINE:
            raise DataError(f"{path}:{number}: has {len(line):,} bytes; expected at most {_LONGEST_LINE:,}")
        yield line


def conclude(config: SearchSettings, folder: Path) -> tuple[Outcome, CellNote]:
    """End a search with a sampler: the best cell of its history, the first of equals.

    Raises:
        RunError: No candidate has a score.
        DataError: The history is not there, or is malformed.
    """
    from tasks.task import Outcome, ParameterCounts

    began = time.perf_counter()
    lines, _ = read_history(folder / EVENTS)
    asked = {line.number: line for line in lines if isinstance(line, Asked)}
    told = [line for line in lines if isinstance(line, Told)]
    scored = [line for line in told if line.score is not None]
    failed = [line for line in told if line.score is None]
    if not scored:
        first = next((line.failure for line in failed if line.failure), "nothing was proposed")
        raise RunError(f"none of {len(told)} candidates has a score; the first one: {first}")
    best = min(scored, key=lambda line: line.score if line.score is not None else math.inf)
    cell = asked[best.number].cell
    metric = selection_of(config)
    value = best.score if best.score is not None else math.nan
    item = {"split": "dev", **cell.model_dump(mode="json", exclude_none=True)}
    trained = [line for line in told if not line.shared]
    return Outcome(
        metrics={
            SECONDS: sum(line.seconds for line in told),
            f"dev_{metric.name}": -value if metric.higher_is_better else value,
        },
        items=[item],
        parameters=ParameterCounts(0, 0, 0),
        flops_per_token=0,
        tokens=0,
        seconds={"candidates": sum(line.seconds for line in told), "conclude": time.perf_counter() - began},
        history=[json.loads(line.model_dump_json(exclude={"event", "record"})) for line in told],
        facts={
            "search trials": len(told),
            "search trained": len(trained),
            "search shared": len(told) - len(trained),
            "search failed": len(failed),
        },
        notes=cell_notes(cell),
    ), cell

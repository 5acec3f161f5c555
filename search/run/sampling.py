"""Runs a search with a sampler: asks for a candidate when a worker is free, and tells results in any order.

Each call of the sampler is a line of the history (`events.jsonl` in the search's folder), which is written
before the candidate is trained. To resume a search that was killed, the sampler is built again from the seed
and the calls of its history are repeated. Candidates without a result are then run again, from their
checkpoints.
"""

from __future__ import annotations

import json
import random
import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from cellzoo.errors import CellzooError, DataError, RunError
from cellzoo.system.atomic import output_errors
from search.methods.derived import describe_cell
from search.registry import find_method
from search.run.cost import TRAINED
from search.run.history import AnyLine, Asked, Exhausted, Started, Told, read_history
from search.run.settings import SECONDS, cell_notes, method_settings, selection_of
from tasks.runs.events import Failure
from tasks.training.events import EventLog
from tasks.training.loop import EVENTS

if TYPE_CHECKING:
    from pathlib import Path

    from cellzoo.cells.cell import Cell
    from search.methods.derived import CellNote
    from search.run.settings import SearchSettings
    from search.samplers.sampler import Proposal, Sampler
    from search.spaces.space import Space
    from tasks.runs.job import Job
    from tasks.runs.record import RunRecord
    from tasks.task import Outcome


@dataclass(frozen=True)
class Score:
    """The score of a cell.

    Attributes:
        value: Finite, lower is better.
        seconds: Time of training and evaluation.
        record: Key of its record, if it has one.
    """

    value: float
    seconds: float = 0.0
    record: str = ""


class Evaluator(Protocol):
    """Gives the scores of cells, from trainings or from a table."""

    def look_up(self, cell: Cell, epochs: int) -> Score | None:
        """The score of a cell after so many epochs, if it is known without training."""
        ...

    def job(self, cell: Cell, epochs: int, repetition: int = 0) -> Job | None:
        """The job that trains a cell; None if cells cannot be trained, in which case the candidate fails.

        Args:
            cell: The cell.
            epochs: Total epochs, including those of a shorter training that is continued.
            repetition: Number of earlier trainings of the same cell for as many epochs.
        """
        ...

    def score(self, record: RunRecord) -> Score | None:
        """The score in the record of such a job; None if it is undefined."""
        ...


class _Graph(NamedTuple):
    """The identity of a training: a graph, a number of epochs, and a repetition, from 0."""

    hash: str
    epochs: int
    repetition: int


@dataclass
class _Open:
    """A training in progress, and the proposals that wait for its score."""

    job: Job
    proposals: list[Proposal] = field(default_factory=list)


class Sampling:
    """One search with a sampler.

    Args:
        config: The settings of the search.
        seed: Of the search.
        evaluator: Gives the scores of cells.
        end: The job that concludes the search.
        folder: Has the history.
        workers: Candidates at a time.

    Raises:
        DataError: The history is that of another search, or was changed.
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
        self._trains_again: bool = settings.retrain
        self._longest: int = settings.epochs
        self._scores: dict[_Graph, Score | None] = {}
        self._begun: set[_Graph] = set()
        self._open: dict[_Graph, _Open] = {}
        self._waiting: dict[int, tuple[Proposal, Cell]] = {}
        self._graphs: dict[int, _Graph] = {}
        self._shorter: dict[tuple[str, int], tuple[Cell, int]] = {}
        self._retried: set[str] = set()
        self._is_exhausted = self._has_ended = False
        path = folder / EVENTS
        with output_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        lines, size = read_history(path) if path.exists() else ([], 0)
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
        """The first jobs: candidates that had no result when the search was stopped, and new candidates."""
        jobs: list[Job] = []
        for proposal, cell in list(self._waiting.values()):
            jobs += self._begin(proposal, cell)
        return jobs + self._ask()

    def takes(self, job: Job) -> bool:
        """Whether a job is the training of a candidate of this search that has no result yet."""
        return any(one.job.key == job.key for one in self._open.values())

    def result(self, job: Job, result: RunRecord | Failure) -> list[Job]:
        """Process the result of a candidate, and return the jobs that follow from it.

        A candidate that failed is retried once from its last checkpoint: its process may have died or hung, and
        on some devices a training that diverged does not diverge again.
        """
        graph = next(graph for graph, one in self._open.items() if one.job.key == job.key)
        if isinstance(result, Failure):
            if result.stops_all:
                return []
            if job.key not in self._retried:
                self._retried.add(job.key)
                return [job]
            self._settle(graph, None, result.message)
        else:
            score = self.evaluator.score(result)
            self._settle(graph, score, "" if score else "the metric on dev is undefined")
        return self._ask()

    def shorter_jobs(self) -> list[Job]:
        """A job for each checkpoint that was kept because a longer training might continue it."""
        jobs = [
            self.evaluator.job(cell, epochs, repetition)
            for (_, repetition), (cell, epochs) in self._shorter.items()
        ]
        return [job for job in jobs if job is not None]

    def close(self) -> None:
        """Close the history."""
        self._log.close()

    def _ask(self) -> list[Job]:
        """Ask for candidates until all workers have one; give the concluding job when there are no more."""
        jobs: list[Job] = []
        while len(self._waiting) < self.workers and not self._is_exhausted:
            try:
                proposal = self.sampler.ask()
                cell = None if proposal is None else self.space.to_cell(proposal.genotype)
            except CellzooError as error:
                self._write(Exhausted(reason=str(error)[:2000]))
                self._is_exhausted = True
                break
            if proposal is None or cell is None:
                break
            self._add(proposal, cell)
            note = describe_cell(cell, self._notation)
            self._write(Asked(number=proposal.number, epochs=proposal.epochs, cell=note))
            jobs += self._begin(proposal, cell)
        if not self._waiting and not self._has_ended:
            self._has_ended = True
            jobs.append(self.end)
        return jobs

    def _add(self, proposal: Proposal, cell: Cell) -> None:
        """Register a proposal, and determine which training it needs."""
        graph = _Graph(cell.hash, proposal.epochs, 0)
        while self._trains_again and graph in self._begun:
            graph = graph._replace(repetition=graph.repetition + 1)
        self._begun.add(graph)
        self._graphs[proposal.number] = graph
        self._waiting[proposal.number] = (proposal, cell)
        if proposal.epochs < self._longest:
            self._shorter.setdefault((cell.hash, graph.repetition), (cell, proposal.epochs))

    def _begin(self, proposal: Proposal, cell: Cell) -> list[Job]:
        """Tell the score of a proposal if it is known; otherwise give the job, if it is not running already."""
        graph = self._graphs[proposal.number]
        if graph in self._open:
            self._open[graph].proposals.append(proposal)
            return []
        if graph in self._scores:
            self._tell(proposal, self._scores[graph], shared=True)
            return []
        score = self.evaluator.look_up(cell, proposal.epochs)
        job = None if score is not None else self.evaluator.job(cell, proposal.epochs, graph.repetition)
        if job is not None:
            self._open[graph] = _Open(job, [proposal])
            return [job]
        self._scores[graph] = score
        self._tell(proposal, score, failure="" if score else "the table does not have this cell")
        return []

    def _settle(self, graph: _Graph, score: Score | None, failure: str = "") -> None:
        self._scores[graph] = score
        first, *others = self._open.pop(graph).proposals
        self._tell(first, score, failure=failure)
        for proposal in others:
            self._tell(proposal, score, shared=True)

    def _tell(
        self, proposal: Proposal, score: Score | None, *, shared: bool = False, failure: str = ""
    ) -> None:
        del self._waiting[proposal.number]
        graph = self._graphs[proposal.number]
        told = Told(
            number=proposal.number,
            score=self._mean(graph) if self._trains_again else None if score is None else score.value,
            own=score.value if self._trains_again and score is not None else None,
            shared=shared,
            failure=failure[:2000],
            seconds=0.0 if score is None or shared else max(0.0, score.seconds - self._spent(graph)),
            record="" if score is None else score.record,
        )
        self._write(told)
        self.sampler.tell(proposal, told.score)

    def _mean(self, graph: _Graph) -> float | None:
        """The mean over all trainings of a graph that did not fail."""
        known = [self._scores.get(graph._replace(repetition=number)) for number in range(graph.repetition + 1)]
        values = [score.value for score in known if score is not None]
        return statistics.fmean(values) if values else None

    def _spent(self, graph: _Graph) -> float:
        """Seconds of the shorter training that this one continued."""
        before = [
            score.seconds
            for other, score in self._scores.items()
            if score is not None
            and (other.hash, other.repetition) == (graph.hash, graph.repetition)
            and other.epochs < graph.epochs
        ]
        return max(before, default=0.0)

    def _replay(self, line: AnyLine) -> None:
        """Repeat a call of the history; `CellzooError` or `LookupError` if it cannot have been made."""
        if isinstance(line, Asked):
            proposal = self.sampler.ask()
            cell = None if proposal is None else self.space.to_cell(proposal.genotype)
            if (
                proposal is None
                or cell is None
                or (proposal.number, cell.hash) != (line.number, line.cell.hash)
            ):
                raise CellzooError("the sampler proposes another cell")
            self._add(proposal, cell)
        elif isinstance(line, Told):
            proposal, _ = self._waiting.pop(line.number)
            graph = self._graphs[line.number]
            value = line.own if self._trains_again else line.score
            if not line.shared:
                spent = line.seconds + self._spent(graph)
                self._scores[graph] = None if value is None else Score(value, spent, line.record)
            self.sampler.tell(proposal, line.score)
        elif isinstance(line, Exhausted):
            self._is_exhausted = True
        else:
            raise CellzooError("the search starts a second time")

    def _write(self, line: AnyLine) -> None:
        self._log.write(line.model_dump(mode="json", exclude_none=False))
        self._log.sync()


def conclude(config: SearchSettings, folder: Path) -> tuple[Outcome, CellNote]:
    """Conclude a search with a sampler: select the best cell of its history, the first of equals.

    Only cells with the largest number of epochs are compared. If scores of a graph were averaged, its last mean
    counts.

    Raises:
        RunError: No candidate has a score.
        DataError: The history does not exist, or is malformed.
    """
    from tasks.task import Outcome, ParameterCounts

    began = time.perf_counter()
    lines, _ = read_history(folder / EVENTS)
    asked = {line.number: line for line in lines if isinstance(line, Asked)}
    told = [line for line in lines if isinstance(line, Told)]
    failed = [line for line in told if line.score is None]
    reasons = [line.reason for line in lines if isinstance(line, Exhausted)]
    scores: dict[tuple[int, str], tuple[float, int]] = {}
    for line in told:
        if line.score is not None:
            cell = asked[line.number].cell
            scores[asked[line.number].epochs, cell.hash] = (line.score, line.number)
    if not scores:
        first = next((line.failure for line in failed if line.failure), "nothing was proposed")
        raise RunError(
            f"none of {len(told)} candidates has a score; the first one: {'; '.join([first, *reasons])}"
        )
    longest = max(epochs for epochs, _ in scores)
    value, number = min(score for (epochs, _), score in scores.items() if epochs == longest)
    cell = asked[number].cell
    metric = selection_of(config)
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
            TRAINED: len(trained),
            "search shared": len(told) - len(trained),
            "search failed": len(failed),
        },
        notes=(
            *cell_notes(cell),
            *(f"the search ended after {len(told)} trials: {reason}" for reason in reasons),
        ),
    ), cell

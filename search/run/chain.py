"""All runs of one command: searches with several seeds, and the training of found cells, in one queue.

OUT/searches/NAME/     events, checkpoint and found.toml of each search
OUT/records/           a record of each run: searches, candidates, retraining
OUT/found.toml         the best cell; its name has the number of searches

With `Retrain`, each found cell is trained briefly, and the best of them on dev fully. The decisions of the
chain depend only on the results of jobs, in any order. So when a command that was stopped or killed is
repeated, the results that exist already lead to the same state.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cellzoo.cells.canonical import canonical_form
from cellzoo.errors import CellzooError
from cellzoo.notations import parse
from search.methods.derived import describe_cell
from search.run.cost import candidates
from search.run.found import found_name
from search.run.sampling import Sampling, Score
from search.run.settings import method_settings, selection_of
from search.run.task import cell_of
from tasks.runs.events import Failure
from tasks.runs.execute import clear_work
from tasks.runs.job import make_job
from tasks.runs.subjects import resolve_cells
from tasks.task import Subject
from tasks.training.loop import EVENTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cellzoo.cells.cell import Cell
    from search.methods.derived import CellNote
    from search.run.request import SearchPlan
    from tasks.runs.job import Job
    from tasks.runs.record import RunRecord
    from tasks.settings import Settings

_SEEDS_APART = 1000
"""Difference between the seeds of repeated trainings of one candidate."""


@dataclass(frozen=True)
class Retrain:
    """The training that follows the searches.

    Attributes:
        test_seeds: Seeds of the full training of the best cell.
        brief_seeds: Seeds of the brief training of each found cell.
        brief: Changed settings of the brief training.
        full: Changed settings of the full training.
        beside: Other cells that are trained, too, briefly and fully.
    """

    test_seeds: Sequence[int] = (0, 1, 2)
    brief_seeds: Sequence[int] = (0,)
    brief: Mapping[str, Any] = field(default_factory=dict)
    full: Mapping[str, Any] = field(default_factory=dict)
    beside: Sequence[str | Path] = ()


@dataclass(frozen=True)
class Found:
    """A search and the cell that it found.

    Attributes:
        seed: Of the search.
        record: Of the search.
        cell: The cell, as in the record.
        subject: The cell as the subject of a training.
        brief: Records of its brief training, one for each seed.
    """

    seed: int
    record: RunRecord
    cell: CellNote
    subject: Subject
    brief: tuple[RunRecord, ...] = ()

    def mean(self, metric: str) -> float | None:
        """Mean of a metric over the brief training; None if it is undefined for every seed."""
        return mean_of(metric, self.brief)


class Chain:
    """Decides which jobs follow from each result.

    Args:
        plan: The search.
        seeds: Of the searches.
        out: The output folder.
        retrain: The training that follows; None for the searches only.
        workers: Runs at a time.

    Raises:
        CellzooError: There is no seed, or a setting, a seed or a cell of `retrain` is wrong.
    """

    def __init__(
        self, plan: SearchPlan, seeds: Sequence[int], out: Path, retrain: Retrain | None, workers: int
    ) -> None:
        if not seeds or (retrain is not None and not (retrain.test_seeds and retrain.brief_seeds)):
            raise CellzooError("no seed was given; expected at least one")
        self.plan = plan
        self.retrain = retrain
        self.metric = selection_of(plan.config)
        self.searches = {seed: plan.job(seed) for seed in dict.fromkeys(seeds)}
        if plan.is_sampled and method_settings(plan.config).retrain:
            _check_apart(list(self.searches))
        self.results: dict[str, RunRecord | Failure] = {}
        self.beside: list[Subject] = []
        self.stages: dict[str, Settings] = {}
        if retrain is not None:
            self.beside = resolve_cells(retrain.beside)[0] if retrain.beside else []
            self.stages = {
                "brief": plan.retraining("brief", retrain.brief),
                "full": plan.retraining("full", retrain.full),
            }
            for seed in (*retrain.test_seeds, *retrain.brief_seeds):
                self._training("full", Subject("any", None, "search"), seed)
        self._brief: dict[int, list[Job]] = {}
        self._full: list[Job] = []
        self._out, self._workers = out, workers
        self._samplings: list[Sampling] = []

    @property
    def dev(self) -> str:
        """Name of the metric of records by which cells are selected."""
        return f"dev_{self.metric.name}"

    def trained(self, seed: int) -> list[RunRecord]:
        """The records of the candidates that a search with a sampler trained; none for a supernet."""
        if not self.plan.is_sampled:
            return []
        return candidates(self._out / self.searches[seed].work / EVENTS, self.results.values())

    def start(self) -> list[Job]:
        """The first jobs; opens the histories of samplers."""
        if not self.plan.is_sampled:
            return list(self.searches.values())
        jobs: list[Job] = []
        share = max(1, self._workers // len(self.searches))
        for seed, end in self.searches.items():
            evaluator = TaskEvaluator(self.plan, seed)
            folder = self._out / end.work
            sampling = Sampling(self.plan.config, seed, evaluator, end, folder, share)
            self._samplings.append(sampling)
            jobs += sampling.start()
        return jobs

    def grow(self, job: Job, result: RunRecord | Failure) -> list[Job]:
        """The jobs that follow from a result; see `tasks.runs.queue.JobQueue`."""
        self.results[job.key] = result
        if isinstance(result, Failure) and result.stops_all:
            return []
        jobs: list[Job] = []
        for sampling in self._samplings:
            if sampling.takes(job):
                jobs += sampling.result(job, result)
        return jobs if self.retrain is None else [*jobs, *self._follow(self.retrain)]

    def close(self) -> None:
        """Close the histories."""
        for sampling in self._samplings:
            sampling.close()

    def clear(self) -> None:
        """Remove the checkpoints of candidates of finished searches, which no training will continue."""
        for end, sampling in zip(self.searches.values(), self._samplings, strict=False):
            if end.key in self.results:
                for job in sampling.shorter_jobs():
                    clear_work(self._out, job)

    def found(self) -> list[Found]:
        """The searches that found a cell, by seed."""
        found = []
        for seed, job in self.searches.items():
            record = self.results.get(job.key)
            if record is None or isinstance(record, Failure):
                continue
            cell = cell_of(record, self._out)
            brief = (self.results.get(one.key) for one in self._brief.get(seed, ()))
            records = tuple(one for one in brief if one is not None and not isinstance(one, Failure))
            found.append(Found(seed, record, cell, self._subject(seed, cell), records))
        return found

    def best(self) -> Found | None:
        """The best search on dev, the first of equals: by brief training, or else by its own dev metric."""
        found = self.found()
        if self.retrain is not None:
            found = [one for one in found if one.brief]
            return min(found, key=lambda one: self._cost(one.mean(self.dev)), default=None)
        return min(found, key=lambda one: self._cost(mean_of(self.dev, [one.record])), default=None)

    def full(self) -> list[RunRecord]:
        """The records of the full training of the best cell."""
        best = self.best()
        done = (self.results.get(job.key) for job in self._full)
        return [
            record
            for record in done
            if record is not None
            and not isinstance(record, Failure)
            and best is not None
            and record.cell.hash == best.cell.hash
        ]

    def _follow(self, retrain: Retrain) -> list[Job]:
        """Brief training for each found cell, and full training once all brief training has ended."""
        jobs: list[Job] = []
        for one in self.found():
            if one.seed not in self._brief:
                self._brief[one.seed] = self._trainings("brief", [one.subject], retrain.brief_seeds)
                jobs += self._brief[one.seed]
                jobs += self._trainings("brief", self.beside, retrain.brief_seeds)
        waiting = [job for job in self.searches.values() if job.key not in self.results]
        waiting += [job for brief in self._brief.values() for job in brief if job.key not in self.results]
        best = self.best()
        if not waiting and not self._full and best is not None:
            self._full = self._trainings("full", [best.subject, *self.beside], retrain.test_seeds)
            jobs += self._full
        return jobs

    def _trainings(self, stage: str, subjects: Sequence[Subject], seeds: Sequence[int]) -> list[Job]:
        """The jobs of all seeds and subjects, each once: subjects with the same graph have the same jobs."""
        jobs: dict[str, Job] = {}
        for seed in seeds:
            for subject in subjects:
                job = self._training(stage, subject, seed)
                jobs.setdefault(job.key, job)
        return list(jobs.values())

    def _training(self, stage: str, subject: Subject, seed: int) -> Job:
        target = self.plan.target
        return make_job(target.task, target.source, self.stages[stage], subject, seed, self._data(stage))

    def _data(self, stage: str) -> Mapping[str, Any]:
        from tasks.runs.plan import find_data

        names = self.plan.target.task.data(self.stages[stage])
        missing = [name for name in names if name not in self.plan.data]
        return {**self.plan.data, **find_data(missing, self.plan.target.folder)}

    def _subject(self, seed: int, cell: CellNote) -> Subject:
        return trained_subject(self.plan, seed, parse(cell.genotype, cell.notation), cell)

    def _cost(self, value: float | None) -> float:
        """The value with its sign chosen so that lower is better; infinite if it is undefined."""
        if value is None:
            return math.inf
        return -value if self.metric.higher_is_better else value


class TaskEvaluator:
    """An `Evaluator` that trains each cell on the task of the search.

    Args:
        plan: The search.
        seed: Of the search, and of its candidates' first trainings.
    """

    def __init__(self, plan: SearchPlan, seed: int) -> None:
        self.plan = plan
        self.seed = seed
        self.metric = selection_of(plan.config)
        self.longest: int = method_settings(plan.config).epochs

    def look_up(self, cell: Cell, epochs: int) -> Score | None:
        """See `Evaluator`: always None, because the queue itself skips jobs that have a record."""
        return None

    def job(self, cell: Cell, epochs: int, repetition: int = 0) -> Job | None:
        """See `Evaluator`; a run that is shorter than the longest keeps its checkpoint for a longer one."""
        note = describe_cell(cell, str(self.plan.config.method_settings.get("space", "")))
        subject = trained_subject(self.plan, self.seed, cell, note)
        target = self.plan.target
        return make_job(
            target.task,
            target.source,
            self.plan.candidate(epochs),
            subject,
            self.seed + repetition * _SEEDS_APART,
            self.plan.data,
            keep_work=epochs < self.longest,
        )

    def score(self, record: RunRecord) -> Score | None:
        """The value on dev; None if it is undefined."""
        value = mean_of(f"dev_{self.metric.name}", [record])
        if value is None:
            return None
        seconds = sum(record.timing.seconds.values())
        return Score(-value if self.metric.higher_is_better else value, seconds, record.key)


def _check_apart(seeds: Sequence[int]) -> None:
    """Check that repeated trainings of different searches have different seeds.

    Raises:
        CellzooError: Two seeds differ by a multiple of `_SEEDS_APART`.
    """
    first: dict[int, int] = {}
    for seed in seeds:
        other = first.setdefault(seed % _SEEDS_APART, seed)
        if other != seed:
            raise CellzooError(
                f"seeds {other} and {seed}: with retrain, repeated trainings have the seed of the search plus "
                f"multiples of {_SEEDS_APART}, so these two searches would share them; choose other seeds"
            )


def mean_of(metric: str, records: Sequence[RunRecord]) -> float | None:
    """Mean of a metric over the records that have a value of it; None if none has."""
    values = [record.value(metric) for record in records if metric in record.metrics]
    values = [value for value in values if not math.isnan(value)]
    return statistics.fmean(values) if values else None


def trained_subject(plan: SearchPlan, seed: int, cell: Cell, note: CellNote) -> Subject:
    """A found cell or a candidate as the subject of a run; the name of a cell is the same for both."""
    name = found_name(plan.method, plan.config.task, seed, note.hash)
    return Subject(name, canonical_form(replace(cell, name="")), "search", note.notation, note.genotype)

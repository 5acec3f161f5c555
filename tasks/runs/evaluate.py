"""Evaluate models that runs have left, and compare with their records; nothing is trained or written."""

from __future__ import annotations

import math
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from cellzoo.errors import CellzooError
from tasks.runs.execute import ARTIFACTS, CACHE
from tasks.runs.job import make_job
from tasks.runs.store import RecordStore
from tasks.settings import configure
from tasks.task import Context

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tasks.runs.job import Job
    from tasks.runs.plan import PlannedTask, RunPlan
    from tasks.runs.record import RunRecord

TOLERANCE = 1e-6
"""Relative; other machines, and other numbers of threads, add in another order."""


@dataclass(frozen=True)
class Reevaluation:
    """A model that was evaluated again.

    Attributes:
        job: Its run.
        record: What was measured then.
        metrics: What is measured now.
        new: Those of them that the record does not have, or has by other settings.
    """

    job: Job
    record: RunRecord
    metrics: Mapping[str, float]
    new: frozenset[str] = frozenset()

    @property
    def differing(self) -> tuple[str, ...]:
        """Metrics that are not what the record says."""
        return tuple(
            name
            for name, value in self.metrics.items()
            if name not in self.new and not _equal(self.record.value(name), value)
        )

    def __str__(self) -> str:
        shown = self.record.metrics[self.record.primary]
        value = self.metrics[self.record.primary]
        line = f"{self.job.label}: {shown.title} {value:.{shown.digits}f}"
        for name in sorted(self.new):
            line += f", {name} {self.metrics[name]:.{shown.digits}f} (not by the settings of its record)"
        if not self.differing:
            count = len(self.metrics) - len(self.new)
            return f"{line}, all {count} {'other ' if self.new else ''}metrics as in its record"
        others = "; ".join(
            f"{name} is {self.metrics[name]:.10g}, in the record {self.record.value(name):.10g}"
            for name in self.differing
        )
        return f"{line}, NOT as in its record: {others}"


def evaluate_again(plan: RunPlan, out: Path, device: str) -> Iterator[Reevaluation]:
    """Evaluate the models of a plan's cells on dev and test, one after the other.

    Args:
        plan: With models kept.
        out: The output folder of the runs.
        device: A torch device string.

    Raises:
        CellzooError: A run left no record or no model, or its model does not fit the task.
    """
    store = RecordStore(out)
    tasks = {planned.name: planned for planned in plan.tasks}
    jobs = [job for job in plan.jobs if job.subject.cell is not None and tasks[job.task].task.after is None]
    if not jobs:
        raise CellzooError("--eval-only: none of the tasks trains a model of its own")
    found = [(job, *_kept(job, tasks[job.task], out, store)) for job in jobs]
    for job, record, path in found:
        planned = tasks[job.task]
        changed = (name for name in planned.task.measures if record.configuration[name] != job.settings[name])
        metrics = _evaluate(planned, job, path, out, device)
        new = metrics.keys() & {planned.task.measures[name] for name in changed}
        yield Reevaluation(job, record, metrics, frozenset(new))


def _kept(job: Job, planned: PlannedTask, out: Path, store: RecordStore) -> tuple[RunRecord, Path]:
    """The record and the model of a run, or of one that differs in nothing but what it measured."""
    if not job.keeps:
        raise CellzooError(
            f"--eval-only: {job.label} keeps no model: nothing writes it, or its features, as a file"
        )
    record = store.find(job.stem, job.key)
    for other in () if record else store.of_run(job.task, job.subject.name, job.seed):
        values = {name: other.configuration.get(name) for name in planned.task.measures}
        alike = _with_settings(job, planned, values)
        if alike is not None and alike.key == other.key:
            job, record = alike, other
    if record is None:
        raise CellzooError(
            f"--eval-only: {out} has no record of {job.label} with these settings; run it first, with "
            "--keep-models"
        )
    path = out / ARTIFACTS / job.keeps
    if not path.is_file():
        raise CellzooError(f"--eval-only: {job.label} left no model ({path}); run it again with --keep-models")
    return record, path


def _with_settings(job: Job, planned: PlannedTask, values: Mapping[str, Any]) -> Job | None:
    """The same job with other settings, or None where these are not the task's."""
    try:
        config = configure(planned.task.settings, {**job.settings, **values}, job.label)
    except CellzooError:
        return None
    return make_job(
        planned.task,
        planned.source,
        config,
        job.subject,
        job.seed,
        job.data,
        keeps=planned.task.keeps(config),
        tuning=job.tuning,
    )


def _evaluate(planned: PlannedTask, job: Job, path: Path, out: Path, device: str) -> Mapping[str, float]:
    config = configure(planned.task.settings, job.settings, f"task {job.task!r}")
    with TemporaryDirectory(prefix="cellzoo-") as folder:
        context = Context(
            label=job.label,
            key=job.key,
            identity=job.identity,
            data=job.data,
            work=type(out)(folder),
            artifact=None,
            model=path,
            left=None,
            cache=out / CACHE,
            device=device,
            report=lambda fraction, words: None,
        )
        return planned.task.evaluate(config, job.subject, context)


def _equal(recorded: float, now: float) -> bool:
    if math.isnan(recorded) or math.isnan(now):
        return math.isnan(recorded) == math.isnan(now)
    return math.isclose(recorded, now, rel_tol=TOLERANCE, abs_tol=1e-9)

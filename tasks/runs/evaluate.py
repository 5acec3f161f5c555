"""Evaluate models that runs have left, and compare with their records; nothing is trained or written."""

from __future__ import annotations

import math
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from cellzoo.errors import CellzooError
from tasks.runs.execute import ARTIFACTS, CACHE
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
    """

    job: Job
    record: RunRecord
    metrics: Mapping[str, float]

    @property
    def differing(self) -> tuple[str, ...]:
        """Metrics that are not what the record says."""
        return tuple(
            name
            for name, value in self.metrics.items()
            if not _equal(self.record.value(name), value) and not name.startswith("seconds")
        )

    def __str__(self) -> str:
        shown = self.record.metrics[self.record.primary]
        value = self.metrics[self.record.primary]
        line = f"{self.job.label}: {shown.title} {value:.{shown.digits}f}"
        if not self.differing:
            return f"{line}, all {len(self.metrics)} metrics as in its record"
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
    found = [(job, *_kept(job, out, store)) for job in jobs]
    for job, record, path in found:
        yield Reevaluation(job, record, _evaluate(tasks[job.task], job, path, out, device))


def _kept(job: Job, out: Path, store: RecordStore) -> tuple[RunRecord, Path]:
    record = store.find(job.stem, job.key)
    if record is None:
        raise CellzooError(
            f"--eval-only: {out} has no record of {job.label} with these settings; run it first, with "
            "--keep-models"
        )
    path = out / ARTIFACTS / job.leaves
    if not job.leaves or not path.is_file():
        place = f" ({path})" if job.leaves else ""
        raise CellzooError(f"--eval-only: {job.label} left no model{place}; run it again with --keep-models")
    return record, path


def _evaluate(planned: PlannedTask, job: Job, path: Path, out: Path, device: str) -> Mapping[str, float]:
    config = configure(planned.task.settings, job.settings, f"task {job.task!r}")
    with TemporaryDirectory(prefix="cellzoo-") as folder:
        context = Context(
            label=job.label,
            key=job.key,
            identity=job.identity,
            data=job.data,
            work=type(out)(folder),
            artifact=path,
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

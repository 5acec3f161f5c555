"""Do one run: from a job to a written record, or to a failure with one clear message."""

from __future__ import annotations

import errno
import math
import os
import shutil
import time
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from cellzoo.errors import CellzooError, OutputError, RunError
from cellzoo.system.atomic import output_errors
from tasks.registry import load_target
from tasks.runs.events import Failure
from tasks.runs.record import (
    CellReference,
    DataReference,
    MetricValue,
    Parameters,
    RunRecord,
    TaskReference,
    Timing,
)
from tasks.runs.store import RecordStore
from tasks.settings import configure
from tasks.task import Context

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tasks.runs.plan import Job
    from tasks.runs.record import Code, Environment
    from tasks.task import Json, Outcome, Task

WORK = "work"
ARTIFACTS = "artifacts"
LOG = "error.log"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)


@dataclass(frozen=True)
class Workshop:
    """What all runs of one command share. Plain data, so that it can be sent to a worker process.

    Attributes:
        out: The output folder.
        device: A torch device string.
        code: Which code runs.
        environment: Where it runs.
    """

    out: Path
    device: str
    code: Code
    environment: Environment

    def work(self, key: str) -> Path:
        """The folder of one run; it survives a kill and is removed once the record is written."""
        return self.out / WORK / key


def attempt(job: Job, workshop: Workshop, report: Callable[[float, str], None]) -> RunRecord | Failure:
    """Do a run; whatever goes wrong in it becomes a failure."""
    try:
        return execute(job, workshop, report)
    except OutputError as error:
        return Failure(job, str(error), stops_all=True)
    except CellzooError as error:
        return Failure(job, str(error))
    except (Exception, SystemExit) as error:  # a defect in a task must not end the other runs
        if missing := _missing_package(error):
            return Failure(job, f"needs the package {missing!r}: pip install 'cellzoo[nlp]'")
        if _is_full(error):
            place = getattr(error, "filename", None) or workshop.out
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
            return Failure(job, f"{place}: cannot be written: {reason}", stops_all=True)
        log = _write_log(workshop.work(job.key))
        first = (str(error).strip() or "no message").splitlines()[0]
        return Failure(job, f"{type(error).__name__}: {first:.300}", log)


def execute(job: Job, workshop: Workshop, report: Callable[[float, str], None]) -> RunRecord:
    """Do a run and write its record.

    Raises:
        OutputError: The output folder cannot be written.
        CellzooError: Whatever the task finds wrong with its input.
    """
    work, artifacts = workshop.work(job.key), workshop.out / ARTIFACTS
    for folder in (work, artifacts):
        with output_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
    made: Any = load_target(job.target, f"task {job.task!r}")
    task: Task = made(configure(made.Config, job.settings, job.task))
    begin = time.perf_counter()
    context = Context(data=job.data, work=work, artifacts=artifacts, device=workshop.device, report=report)
    outcome = task.run(job.subject, job.seed, context)
    seconds = time.perf_counter() - begin
    store = RecordStore(workshop.out)
    record = _record(job, task, outcome, seconds, workshop, store)
    store.write_record(job.stem, record)
    shutil.rmtree(work, ignore_errors=True)
    return record


def _record(
    job: Job, task: Task, outcome: Outcome, seconds: float, workshop: Workshop, store: RecordStore
) -> RunRecord:
    metrics = _metrics(task, outcome)
    items = store.write_items(job.stem, outcome.items)
    subject = job.subject
    phases = {name: float(value) for name, value in outcome.seconds.items()}
    training = phases.get("train", 0.0)
    return RunRecord(
        schema_version=1,
        key=job.key,
        task=TaskReference(name=task.name, revision=task.revision, title=task.title),
        cell=CellReference(
            name=subject.name,
            kind="baseline" if subject.cell is None else "cell",
            hash=None if subject.cell is None else subject.cell.hash,
            origin=subject.origin,
            notation=subject.notation,
            genotype=subject.genotype,
        ),
        seed=job.seed,
        configuration=dict(job.settings),
        data={
            name: DataReference(origin=found.origin, sha256=dict(found.sha256))
            for name, found in job.data.items()
        },
        metrics=metrics,
        primary=task.metrics[0].name,
        items=items,
        parameters=Parameters(
            cell=outcome.parameters.cell,
            total_without_embeddings=outcome.parameters.total_without_embeddings,
            total=outcome.parameters.total,
        ),
        flops_per_token=outcome.flops_per_token,
        tokens=outcome.tokens,
        timing=Timing(
            seconds=phases,
            # A resumed run knows the phases of its first part, but the clock here does not.
            total_seconds=max(seconds, sum(phases.values())),
            tokens_per_second=outcome.tokens / training if training > 0 else 0.0,
        ),
        history=_finite(outcome.history),
        code=workshop.code,
        environment=workshop.environment,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _metrics(task: Task, outcome: Outcome) -> dict[str, MetricValue]:
    declared = [metric.name for metric in task.metrics]
    if sorted(declared) != sorted(outcome.metrics):
        raise RunError(
            f"task {task.name!r} gave the metrics {', '.join(outcome.metrics) or 'none'}; "
            f"it declares {', '.join(declared)}"
        )
    values: dict[str, MetricValue] = {}
    for metric in task.metrics:
        value = float(outcome.metrics[metric.name])
        if not math.isfinite(value):
            raise RunError(
                f"{metric.name} is {value}, no finite number: the training diverged. "
                "A lower learning rate or stronger clipping may help; no record was written."
            )
        values[metric.name] = MetricValue(
            value=value, title=metric.title, higher_is_better=metric.higher_is_better, digits=metric.digits
        )
    return values


def _finite(history: Sequence[Mapping[str, Json]]) -> list[dict[str, Any]]:
    """JSON has no NaN: an epoch's value that is not finite becomes null."""

    def clean(value: Any) -> Any:
        if isinstance(value, float):
            return value if math.isfinite(value) else None
        if isinstance(value, dict):
            return {name: clean(item) for name, item in value.items()}
        return [clean(item) for item in value] if isinstance(value, list | tuple) else value

    return [clean(dict(epoch)) for epoch in history]


def _missing_package(error: BaseException) -> str:
    """The package that is not installed, if that is what the error says; a part of one is a defect."""
    name = (error.name or "") if isinstance(error, ModuleNotFoundError) else ""
    return name if name and "." not in name and find_spec(name) is None else ""


def _is_full(error: BaseException) -> bool:
    """Whether an error of a task or of a library below it means that nothing more can be written."""
    if isinstance(error, OSError):
        return error.errno in _FULL
    return os.strerror(errno.ENOSPC) in str(error)


def _write_log(folder: Path) -> Path | None:
    path = folder / LOG
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(traceback.format_exc(), encoding="utf-8")
    except OSError:
        return None
    return path

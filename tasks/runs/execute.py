"""Do one run: from a job to a written record, or to a failure with one clear message."""

from __future__ import annotations

import errno
import math
import os
import shutil
import time
import traceback
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from cellzoo.errors import CellzooError, OutputError, RunError
from cellzoo.system.atomic import output_errors, write_atomically
from cellzoo.system.regular_file import read_regular
from tasks.registry import build_task
from tasks.runs.events import Failure
from tasks.runs.job import record_head
from tasks.runs.record import HeldEqual, LatencyReference, MetricValue, Parameters, RunRecord, Timing
from tasks.runs.record_file import LARGEST_NUMBER
from tasks.runs.store import RecordStore
from tasks.settings import configure
from tasks.task import Context

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tasks.metric import Metric
    from tasks.runs.job import Job
    from tasks.runs.record import CodeVersion, Environment
    from tasks.settings import Json
    from tasks.task import Outcome

ARTIFACTS = "artifacts"
CACHE = "cache"
LOG = "error.log"
OWNER = "key"
"""A file in a work folder: the key of the run that it was made for."""
_LONGEST_KEY = 1000
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)


@dataclass(frozen=True)
class RunSetup:
    """What all runs of one command share. Plain data, so that it can be sent to a worker process.

    Attributes:
        out: The output folder.
        device: A torch device string.
        code: Which code runs.
        environment: Where it runs.
    """

    out: Path
    device: str
    code: CodeVersion
    environment: Environment

    def work(self, job: Job) -> Path:
        """The work folder of a run."""
        return self.out / job.work


def attempt(job: Job, setup: RunSetup, report: Callable[[float, str], None]) -> RunRecord | Failure:
    """Do a run; whatever goes wrong in it becomes a failure."""
    try:
        return execute(job, setup, report)
    except OutputError as error:
        return Failure(job, str(error), stops_all=True)
    except CellzooError as error:
        return Failure(job, str(error).removeprefix(f"{job.label}: "))
    except (Exception, SystemExit) as error:  # a defect in a task must not end the other runs
        if missing := _missing_package(error):
            return Failure(job, f"needs the package {missing!r}: pip install 'cellzoo[nlp]'")
        if _is_full(error):
            place = getattr(error, "filename", None) or setup.out
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
            return Failure(job, f"{place}: cannot be written: {reason}", stops_all=True)
        if isinstance(error, MemoryError | RuntimeError | ValueError | OSError):
            from tasks.training.memory import MEMORY_RAN_OUT, is_out_of_memory

            if is_out_of_memory(error):
                return Failure(job, MEMORY_RAN_OUT)
        log = _write_log(setup.work(job))
        first = (str(error).strip() or "no message").splitlines()[0]
        return Failure(job, f"{type(error).__name__}: {first:.300}", log)


def execute(job: Job, setup: RunSetup, report: Callable[[float, str], None]) -> RunRecord:
    """Do a run and write its record.

    Raises:
        OutputError: The output folder cannot be written.
        CellzooError: Whatever the task finds wrong with its input.
    """
    work, artifacts, cache = setup.work(job), setup.out / ARTIFACTS, setup.out / CACHE
    for folder in (work, artifacts, cache):
        with output_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
    if not (work / OWNER).exists():
        write_atomically(work / OWNER, job.key.encode())
    task = build_task(job.source)
    config = configure(task.settings, job.settings, f"task {job.task!r}")
    begin = time.perf_counter()
    context = Context(
        label=job.label,
        key=job.key,
        identity=job.identity,
        data=job.data,
        work=work,
        artifact=artifacts / job.leaves if job.leaves else None,
        model=artifacts / job.keeps if job.keeps else None,
        left=artifacts / job.left if job.left else None,
        cache=cache,
        device=setup.device,
        report=report,
    )
    outcome = task.run(config, job.subject, job.seed, context)
    seconds = time.perf_counter() - begin
    store = RecordStore(setup.out)
    record = store.find(job.stem, job.key) if job.remake else None
    if record is None:
        record = _record(job, task.metrics(config), outcome, seconds, setup, store)
        store.write_record(job.stem, record)
    if not job.keep_work:
        own = work / job.key[:12]
        shutil.rmtree(own if own.exists() else work, ignore_errors=True)
    return record


def clear_work(out: Path, job: Job) -> None:
    """Remove what a run that is done has left in its work folder, unless the folder is another run's."""
    folder = out / job.work
    try:
        owner = read_regular(folder / OWNER, _LONGEST_KEY).decode("ascii", errors="replace")
    except OSError:
        return
    if owner == job.key:
        shutil.rmtree(folder, ignore_errors=True)


def _record(
    job: Job,
    declared: Sequence[Metric],
    outcome: Outcome,
    seconds: float,
    setup: RunSetup,
    store: RecordStore,
) -> RunRecord:
    metrics, undefined = _metrics(job, declared, outcome)
    late = outcome.latency
    phases = {name: float(value) for name, value in outcome.seconds.items()}
    training = phases.get("train", 0.0)
    items = store.write_items(job.stem, outcome.items)
    return RunRecord(
        **record_head(job),
        metrics=metrics,
        primary=declared[0].name,
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
            latency=LatencyReference(median_ms=late.median, p95_ms=late.most, items=late.items)
            if late
            else None,
        ),
        history=_finite(outcome.history),
        facts=dict(outcome.facts),
        held=HeldEqual(**asdict(outcome.held)) if outcome.held else None,
        notes=[*outcome.notes, *undefined],
        code=setup.code,
        environment=setup.environment,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _metrics(
    job: Job, declared: Sequence[Metric], outcome: Outcome
) -> tuple[dict[str, MetricValue], list[str]]:
    """The metrics of a record, and a note for each that the data does not define.

    Such a one is left out, but for the first, which is null.

    Raises:
        RunError: The task gave other metrics than it declares, or one beyond all bounds.
    """
    names = [metric.name for metric in declared]
    if sorted(names) != sorted(outcome.metrics):
        raise RunError(
            f"task {job.task!r} gave the metrics {', '.join(outcome.metrics) or 'none'}; "
            f"it declares {', '.join(names)}"
        )
    values: dict[str, MetricValue] = {}
    notes = []
    for metric in declared:
        value = float(outcome.metrics[metric.name])
        if abs(value) > LARGEST_NUMBER:
            what = "not a finite number" if math.isinf(value) else "beyond all bounds"
            raise RunError(
                f"{metric.name} is {value:g}, {what}: the training diverged. "
                "A lower learning rate or stronger clipping may help; no record was written."
            )
        if math.isnan(value):
            notes.append(f"{metric.title} is undefined")
            if metric is not declared[0]:
                continue
        values[metric.name] = MetricValue(
            value=None if math.isnan(value) else value,
            title=metric.title,
            higher_is_better=metric.higher_is_better,
            digits=metric.digits,
        )
    return values, notes


def _finite(history: Sequence[Mapping[str, Json]]) -> list[dict[str, Any]]:
    """JSON has no NaN: an epoch's value that is not finite, or beyond all bounds, becomes null."""

    def clean(value: Any) -> Any:
        if isinstance(value, float):
            return value if abs(value) <= LARGEST_NUMBER else None
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
        path.write_text(traceback.format_exc(), encoding="utf-8", errors="backslashreplace")
    except OSError:
        return None
    return path

"""How long runs will take and how much memory, before any is started.

The first of these that is available is taken: the times in the records of runs of the same task, cell and
settings; the same with another number of epochs, scaled; a few training batches, measured here with one thread
as processor time; the time budget of the run, as an upper bound. Without any of them the time is unknown.
"""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from cellzoo.errors import CellzooError, RecordError
from cellzoo.system.text import duration
from tasks.runs.record_file import read_record
from tasks.trained import TrainedTask

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tasks.data.found import FoundData
    from tasks.problem import Problem
    from tasks.runs.job import Job
    from tasks.runs.plan import RunPlan
    from tasks.runs.record import RunRecord
    from tasks.settings import Settings
    from tasks.task import Subject

BATCHES = 4
MOST_SECONDS = 300.0
"""Of measuring, for all tasks and cells of a plan together."""
_SLOW_FEATURES = ("flair", "transformer")


@dataclass(frozen=True)
class Forecast:
    """Of one run.

    Attributes:
        seconds: How long; None for unknown.
        source: What that is known from.
        is_bound: Whether it may end earlier, as a training does that stops improving.
    """

    seconds: float | None
    source: str
    is_bound: bool = False

    def __str__(self) -> str:
        if self.seconds is None:
            return f"not known ({self.source})"
        return f"{'at most' if self.is_bound else 'about'} {duration(self.seconds)} a run ({self.source})"


def forecast(
    plan: RunPlan, jobs: Sequence[Job], records: Path, workers: int, *, measures: bool = False
) -> Iterator[str]:
    """Say how long jobs will take, a line for each task and cell, and all together.

    Args:
        plan: The jobs are of it.
        jobs: What is to do.
        records: The folder of records.
        workers: Runs at a time.
        measures: Whether batches are trained where there are no records; data and vectors are then read.
    """
    until = time.monotonic() + MOST_SECONDS
    problems: dict[str, Problem] = {}
    groups: dict[tuple[str, str], list[Job]] = {}
    for job in jobs:
        groups.setdefault((job.task, job.subject.name), []).append(job)
    total, unknown = 0.0, 0
    only_bounds = True
    memory = 0
    for (task, subject), of_group in groups.items():
        found = from_records(of_group[0], records)
        if found is None and not measures:
            found = Forecast(None, "--measure trains a few batches to find out")
        if found is None and time.monotonic() > until:
            found = Forecast(None, "measuring others took long enough")
        if found is None:
            planned = next(one for one in plan.tasks if one.name == task)
            job = of_group[0]
            try:
                found, bytes_ = _measured(
                    planned.task, planned.config_of(job.subject), job.subject, plan.data, problems
                )
                memory = max(memory, bytes_)
            except (CellzooError, ModuleNotFoundError) as error:
                found = Forecast(None, str(error).splitlines()[0][:200])
        found = _within_budget(found, of_group[0].settings)
        yield f"time  {task} {subject}: {found}"
        if found.seconds is None:
            unknown += len(of_group)
        else:
            total += found.seconds * len(of_group)
            only_bounds = only_bounds and found.is_bound
    known = len(jobs) - unknown
    if known:
        at_a_time = f", {workers} at a time" if workers > 1 else ""
        bound = "at most" if only_bounds else "about"
        yield f"in all {bound} {duration(total / min(workers, known))}{at_a_time}" + (
            f", and {_count(unknown, 'run')} whose time is not known" if unknown else ""
        )
    if memory:
        yield f"memory about {memory / 2**30:.1f} GiB a run"
        free = _free_memory()
        at_once = min(workers, len(jobs))
        if free is not None and memory * at_once > free:
            yield (
                f"note: {_count(at_once, 'run')} at a time will not fit into the {free / 2**30:.1f} GiB that "
                "are free; take fewer --workers, or a smaller model or batch"
            )


def from_records(job: Job, folder: Path) -> Forecast | None:
    """What runs took that differ in their seed alone, or also in their number of epochs; None without any."""
    alike: list[float] = []
    scaled: list[float] = []
    for path in sorted(folder.glob(f"{job.task}--{job.subject.name}--seed*.json")):
        try:
            record = read_record(path)
        except RecordError:
            continue
        if (record.task.name, record.task.revision) != (job.task, job.revision):
            continue
        if (record.cell.hash or f"baseline:{record.cell.name}") != job.subject.identity:
            continue
        if record.configuration == dict(job.settings):
            alike.append(record.timing.total_seconds)
        elif _without_epochs(record.configuration) == _without_epochs(job.settings):
            with suppress(TypeError, ValueError, ZeroDivisionError):
                scaled.append(_scaled(record, int(str(job.settings["epochs"]))))
    if alike:
        return Forecast(fmean(alike), f"{_count(len(alike), 'run')} here took so long")
    if scaled:
        return Forecast(fmean(scaled), f"{_count(len(scaled), 'run')} here with other epochs", is_bound=True)
    return None


def _within_budget(found: Forecast, settings: Mapping[str, Any]) -> Forecast:
    """Where nothing else is known, a run trains for at most the seconds that its settings allow."""
    budget = settings.get("max_seconds")
    if found.seconds is not None or not isinstance(budget, int | float) or not budget > 0:
        return found
    return Forecast(float(budget), "by its time budget, training alone", is_bound=True)


def _without_epochs(configuration: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in configuration.items() if name != "epochs"}


def _scaled(record: RunRecord, epochs: int) -> float:
    grows = sum(record.timing.seconds.get(phase, 0.0) for phase in ("train", "dev"))
    return record.timing.total_seconds + grows * (epochs / len(record.history) - 1)


def _measured(
    task: Any,
    config: Settings,
    subject: Subject,
    data: Mapping[str, FoundData],
    problems: dict[str, Problem],
) -> tuple[Forecast, int]:
    """Train a few batches; gives the forecast, and the most memory of this process in bytes."""
    if not isinstance(task, TrainedTask) or task.after is not None:
        return Forecast(None, "nothing to measure before it runs"), 0
    if subject.cell is None:
        return Forecast(None, "a baseline, quicker than any cell"), 0
    settings = task.problem_settings(config)
    if any(part.kind in _SLOW_FEATURES for part in getattr(settings, "declared", ())):
        return Forecast(None, "features are computed first"), 0
    import torch

    from tasks.sizing import sized
    from tasks.training.fit import recurrent_layer
    from tasks.training.memory import peak_memory
    from tasks.training.streams import RandomStreams
    from tasks.training.trainer import Trainer

    cpu = torch.device("cpu")
    name = settings.model_dump_json()
    if name not in problems:
        problems[name] = task.build_problem(config, data, cpu)
    problem, _ = sized(problems[name], subject.cell)
    training = task.training_settings(config)
    least = _least_memory(problem.layer.num_parameters(subject.cell), training.optimizer)
    free = _free_memory()
    if free is not None and least > free:
        return Forecast(None, "its weights alone do not fit into the memory that is free"), least
    streams = RandomStreams(0, cpu)
    with streams.in_force(), _one_thread():
        rnn = recurrent_layer(subject.cell, problem.layer, streams.model, training.precision)
        trainer = Trainer(problem, problem.model(rnn, streams.model), training)
        trainer.start_epoch(0, 1)
        times = []
        for number, batch in enumerate(problem.train_batches(streams.train)):
            begin = time.process_time()
            trainer.step(batch, iter(()))
            times.append(time.process_time() - begin)
            if number == BATCHES:
                break
    steps = problem.steps * training.epochs
    steps = min(steps, training.max_steps) if training.max_steps else steps
    seconds = steps * fmean(times[1:] or times)
    seconds = min(seconds, training.max_seconds) if training.max_seconds else seconds
    return Forecast(seconds, "by a few batches, training alone", is_bound=True), peak_memory(cpu)


@contextmanager
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _least_memory(parameters: int, optimizer: str) -> int:
    """Bytes of float32 weights, their gradients, and the two moments of Adam."""
    return 4 * parameters * (2 if optimizer == "sgd" else 4)


def _free_memory() -> int | None:
    """Bytes that the system says can be had; None where it does not say."""
    try:
        with Path("/proc/meminfo").open(encoding="ascii") as lines:
            found = next(line for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, UnicodeDecodeError):
        return None
    return 1024 * int(found.split()[1])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"

"""The plan: which runs a command asks for, each with its key, and which of them are there already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cellzoo.errors import CellzooError, unknown
from tasks.registry import build_task, task_class, task_entry
from tasks.runs.record import record_key
from tasks.runs.store import record_stem
from tasks.runs.subjects import resolve_cells
from tasks.settings import plain, setting_types
from tasks.task import Subject

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from tasks.data.found import FoundData
    from tasks.suites.suite import Suite
    from tasks.task import Json, Task


@dataclass(frozen=True)
class PlannedTask:
    """A task of the plan with its complete settings.

    Attributes:
        name: The task's own name.
        target: `module:Class`, what a worker process imports.
        settings: All settings as plain values.
        task: The task itself, built from the settings.
    """

    name: str
    target: str
    settings: Mapping[str, Json]
    task: Task


@dataclass(frozen=True)
class Job:
    """One run: a task, a subject and a seed. Plain data, so that it can be sent to a worker process.

    Attributes:
        task: Task name.
        target: `module:Class` of the task.
        settings: All settings of the task.
        subject: The cell or baseline.
        seed: The seed.
        key: The record's key.
        stem: Name of the record's file, without suffix.
        data: The data sets the task asks for.
        after: Key of the job that must be over before this one starts, if there is one in the plan.
    """

    task: str
    target: str
    settings: Mapping[str, Json]
    subject: Subject
    seed: int
    key: str
    stem: str
    data: Mapping[str, FoundData]
    after: str | None = None

    @property
    def label(self) -> str:
        """What a reader sees, such as `news-lm darts-v2 seed 0`."""
        return f"{self.task} {self.subject.name} seed {self.seed}"


@dataclass(frozen=True)
class Plan:
    """All runs that a command asks for.

    Attributes:
        tasks: The tasks in order.
        jobs: In the order in which they are started: by seed, then task, then subject.
        data: The data sets found for them.
        notes: What the user should know about how the request was read.
    """

    tasks: tuple[PlannedTask, ...]
    jobs: tuple[Job, ...]
    data: Mapping[str, FoundData]
    notes: tuple[str, ...] = ()


def make_plan(
    suite: Suite,
    cells: Iterable[str | Path],
    seeds: Sequence[int],
    *,
    data_dir: Path | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Plan:
    """Work out the runs of a suite; finds and verifies the data once for all of them.

    Args:
        suite: The tasks.
        cells: Catalog names, globs over them, or paths of cell files.
        seeds: Seeds; repeated ones count once.
        data_dir: Where to look for data sets first.
        settings: Overrides: `key` for every task that has the setting, `task.key` for one task.

    Raises:
        CellzooError: Anything about the request that cannot be done.
    """
    tasks = plan_tasks(suite, settings or {})
    subjects, notes = resolve_cells(cells)
    data = find_data((name for planned in tasks for name in planned.task.data), data_dir)
    jobs: dict[str, Job] = {}
    for seed in dict.fromkeys(seeds):
        keys: dict[tuple[str, str], str] = {}
        for planned in tasks:
            for subject in (*subjects, *_baselines(planned, subjects)):
                job = _job(planned, subject, seed, data, keys)
                keys[planned.name, subject.name] = job.key
                jobs.setdefault(job.key, job)
    if not jobs:
        raise CellzooError("nothing to run: no seed was given")
    return Plan(tuple(tasks), tuple(jobs.values()), data, tuple(notes))


def _job(
    planned: PlannedTask,
    subject: Subject,
    seed: int,
    data: Mapping[str, FoundData],
    keys: Mapping[tuple[str, str], str],
) -> Job:
    mine = {name: data[name] for name in planned.task.data}
    key = record_key(
        task=planned.name,
        revision=planned.task.revision,
        subject=subject.cell.hash if subject.cell is not None else f"baseline:{subject.name}",
        configuration=planned.settings,
        data={name: found.sha256 for name, found in mine.items()},
        seed=seed,
    )
    return Job(
        task=planned.name,
        target=planned.target,
        settings=planned.settings,
        subject=subject,
        seed=seed,
        key=key,
        stem=record_stem(planned.name, subject.name, seed, key),
        data=mine,
        after=keys.get((planned.task.after, subject.name)) if planned.task.after else None,
    )


def plan_tasks(suite: Suite, overrides: Mapping[str, Any]) -> list[PlannedTask]:
    """Build the suite's tasks, those that others wait for first.

    Raises:
        UnknownNameError: A setting that no task of the suite has.
        CellzooError: A setting of the wrong type, or two tasks of one name.
    """
    classes: dict[str, Any] = {item.name: task_class(item.name) for item in suite.tasks}
    own_names = [found.name for found in classes.values()]
    if len(set(own_names)) != len(own_names):
        raise CellzooError(
            f"{suite.source or suite.name}: two of the tasks are the same: {', '.join(own_names)}"
        )
    changes = _distribute(overrides, {found.name: setting_types(found.Config) for found in classes.values()})
    planned: list[PlannedTask] = []
    for item in suite.tasks:
        name = classes[item.name].name
        build_task(item.name, item.settings, suite.source)
        task = build_task(
            item.name, {**item.settings, **changes[name]}, "--set" if changes[name] else suite.source
        )
        planned.append(PlannedTask(name, task_entry(item.name).target, plain(task.config), task))
    return _in_order(planned)


def _distribute(
    overrides: Mapping[str, Any], settings: Mapping[str, Iterable[str]]
) -> dict[str, dict[str, Any]]:
    """Give each override to the tasks that it is meant for."""
    changes: dict[str, dict[str, Any]] = {task: {} for task in settings}
    for place, value in sorted(overrides.items(), key=lambda item: "." in item[0]):
        task, _, key = place.rpartition(".")
        if task and task not in settings:
            raise unknown("task in --set", task, settings, f"Asked for with {place!r}.")
        takers = [task] if task else [name for name, known in settings.items() if key in known]
        known = sorted({key for name in takers or settings for key in settings[name]})
        if key not in known:
            raise unknown(
                "setting", key, known, f"Asked for with {place!r}; tasks: {', '.join(takers or settings)}."
            )
        for name in takers:
            changes[name][key] = value
    return changes


def _in_order(planned: list[PlannedTask]) -> list[PlannedTask]:
    """Put a task behind the one it comes after, and otherwise leave the order."""
    ordered: list[PlannedTask] = []
    waiting = list(planned)
    while waiting:
        names = {item.name for item in waiting}
        ready = next((item for item in waiting if item.task.after not in names - {item.name}), waiting[0])
        ordered.append(ready)
        waiting.remove(ready)
    return ordered


def _baselines(planned: PlannedTask, subjects: Sequence[Subject]) -> Iterable[Subject]:
    for name in planned.task.baselines:
        for subject in subjects:
            if subject.name == name:
                raise CellzooError(
                    f"cell {name!r} ({subject.origin}) is named as a baseline of {planned.name!r}; rename it"
                )
        yield Subject(name, None, "baseline")


def find_data(names: Iterable[str], data_dir: Path | None) -> dict[str, FoundData]:
    """Find and verify each data set once.

    Raises:
        DataError: A data set that is nowhere or is not the known one.
    """
    from tasks.data.locate import find

    return {name: find(name, data_dir) for name in dict.fromkeys(names)}

"""The plan: which runs a command asks for, each with its key, and which of them are there already."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cellzoo.errors import CellzooError, DataNotFoundError, MissingDependencyError, unknown
from tasks.presets.preset import read_preset
from tasks.registry import build_task, find_source
from tasks.runs.job import make_job
from tasks.runs.subjects import resolve_cells
from tasks.settings import configure, plain, setting_names
from tasks.task import Subject

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from tasks.data.found import FoundData
    from tasks.presets.preset import Values
    from tasks.registry import TaskSource
    from tasks.runs.job import Job
    from tasks.runs.record import TuningReference
    from tasks.settings import Json, Settings
    from tasks.suites.suite import Suite, SuiteTask
    from tasks.task import Task


@dataclass(frozen=True)
class PlannedTask:
    """A task of the plan with its complete configuration.

    Attributes:
        task: The task.
        source: Where it is.
        config: Its configuration.
        is_implied: Whether nobody asked for it, but a probe reads what its runs leave.
        of_cells: Configurations of cells for which the preset has differences, or that were tuned.
        fixed: Settings that the user has given in the command.
        tunings: How the configurations of tuned cells were come by.
    """

    task: Task
    source: TaskSource
    config: Settings
    is_implied: bool = False
    of_cells: Mapping[str, Settings] = field(default_factory=dict)
    fixed: frozenset[str] = frozenset()
    tunings: Mapping[str, TuningReference] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The task's name."""
        return self.task.name

    @property
    def settings(self) -> dict[str, Json]:
        """All settings as plain values."""
        return plain(self.config)

    def config_of(self, subject: Subject) -> Settings:
        """The configuration for a cell or baseline."""
        return self.of_cells.get(subject.name, self.config)

    @property
    def differences(self) -> dict[str, dict[str, Json]]:
        """Cell -> its settings that differ from the task's."""
        ours = self.settings
        return {
            cell: {name: value for name, value in plain(config).items() if value != ours[name]}
            for cell, config in self.of_cells.items()
        }


@dataclass(frozen=True)
class RunPlan:
    """All runs that a command asks for.

    Attributes:
        tasks: The tasks in order.
        jobs: In the order in which they are started: by seed, then task, then subject.
        data: The data sets found for them.
        notes: What the user should know about how the request was read.
        skipped: Names of the tasks that are left out, as their data is not there.
        keeps_models: Whether runs of cells leave their models, where their tasks can write them.
    """

    tasks: tuple[PlannedTask, ...]
    jobs: tuple[Job, ...]
    data: Mapping[str, FoundData]
    notes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    keeps_models: bool = False

    def before(self, planned: PlannedTask) -> PlannedTask | None:
        """The task whose artifact a task of the plan reads; None if it reads none."""
        name = _after(planned, self.tasks)
        return next((other for other in self.tasks if other.name == name), None)

    def check_data(self, jobs: Iterable[Job]) -> None:
        """Read the data of some jobs and check all of it, once for each task.

        Raises:
            DataError: Data cannot be read, or are too small or degenerate for the settings.
        """
        wanted = {job.task for job in jobs if not job.remake}
        for planned in self.tasks:
            if planned.name in wanted:
                mine = {name: self.data[name] for name in planned.task.data(planned.config)}
                try:
                    planned.task.check(planned.config, mine)
                except ModuleNotFoundError as error:
                    raise MissingDependencyError(
                        f"task {planned.name!r} needs the package {error.name!r}: pip install 'cellzoo[nlp]'"
                    ) from error

    def remake(self, jobs: Iterable[Job], artifacts: Path) -> tuple[list[Job], list[str]]:
        """Find runs whose record is there, but not the artifact that one of `jobs` reads or the user asks for.

        Args:
            jobs: The runs to do.
            artifacts: Where artifacts lie.

        Returns:
            The runs that must be done again for it, and a note for each.
        """
        jobs = list(jobs)
        todo = {job.key for job in jobs}
        by_key = {job.key: job for job in self.jobs}
        again: dict[str, Job] = {}
        notes = []
        for job in jobs:
            if job.after is None or job.after in todo or job.after in again:
                continue
            path = artifacts / job.left
            if not path.is_file():
                before = by_key[job.after]
                again[job.after] = replace(before, remake=True)
                notes.append(
                    f"{before.label} is run again: its record is there, but not what {job.label} reads ({path})"
                )
        for job in self.jobs if self.keeps_models else ():
            path = artifacts / job.keeps
            if job.keeps and job.key not in todo and job.key not in again and not path.is_file():
                again[job.key] = replace(job, remake=True)
                notes.append(f"{job.label} is run again: its record is there, but not its model ({path})")
        return list(again.values()), notes


def make_plan(
    suite: Suite,
    cells: Iterable[str | Path],
    seeds: Sequence[int],
    *,
    data_dir: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    preset: str | None = None,
    keep_models: bool = False,
) -> RunPlan:
    """Work out the runs of a suite; finds and verifies the data once for all of them.

    Args:
        suite: The tasks.
        cells: Catalog names, globs over them, or paths of cell files.
        seeds: Seeds; repeated ones count once.
        data_dir: Where to look for data sets first.
        settings: Overrides: `key` for every task that has the setting, `task.key` for one task.
        preset: Name or path of a preset; see `tasks.presets.preset`.
        keep_models: Whether runs of cells leave their models.

    Raises:
        CellzooError: Anything about the request that cannot be done.
    """
    tasks = plan_tasks(suite, settings or {}, preset)
    subjects, notes = resolve_cells(cells)
    data, missing = _find_all(tasks, data_dir, skips=suite.skips)
    tasks = [planned for planned in tasks if planned.name not in missing]
    notes += [f"{name} is skipped: {reason}" for name, reason in missing.items()]
    jobs: dict[str, Job] = {}
    for seed in dict.fromkeys(seeds):
        made: dict[tuple[str, str], Job] = {}
        for planned in tasks:
            for subject in (*subjects, *_baselines(planned, subjects)):
                before = made.get((_after(planned, tasks), subject.name)) if subject.cell else None
                config = planned.config_of(subject)
                kept = planned.task.keeps(config) if keep_models and subject.cell else ""
                job = make_job(
                    planned.task, planned.source, config, subject, seed, data, after=before, keeps=kept
                )
                made[planned.name, subject.name] = job
                jobs.setdefault(job.key, job)
    if not jobs:
        raise CellzooError("nothing to run: no seed was given")
    notes += [note for found in data.values() for note in found.notes]
    if keep_models:
        notes += [
            f"{planned.name}: its models are not kept: nothing writes them, or their features, as a file"
            for planned in tasks
            if not planned.task.keeps(planned.config)
        ]
    return RunPlan(tuple(tasks), tuple(jobs.values()), data, tuple(notes), tuple(missing), keep_models)


def plan_tasks(suite: Suite, overrides: Mapping[str, Any], preset: str | None = None) -> list[PlannedTask]:
    """Build the suite's tasks, and those whose runs a probe among them reads, which come first.

    Raises:
        UnknownNameError: A setting that no task of the suite has, or no such preset.
        CellzooError: A setting of the wrong type, two tasks of one name, or a probe of what no run leaves.
    """
    found: list[tuple[Task, SuiteTask, TaskSource, bool]] = []
    for item in suite.tasks:
        task = build_task(item.source)
        if any(task.name == other.name for other, *_ in found):
            raise CellzooError(f"{suite.source or suite.name}: two of the tasks are called {task.name!r}")
        found.append((task, item, item.source, False))
    for task, item, *_ in list(found):
        if task.after is not None:
            before = find_source(task.after)
            if all(before.place != other.place for _, _, other, _ in found):
                found.append((build_task(before), replace(item, settings={}), before, True))
    for task, _, source, _ in found:
        _check_after(task, source, found)
    changes = _distribute(overrides, {task.name: setting_names(task.settings) for task, *_ in found})
    named = None if preset is None else read_preset(preset)
    planned: list[PlannedTask] = []
    for task, item, source, is_implied in found:
        owner = f"task {task.name!r}"
        base = dict(item.settings)
        configure(task.settings, base, owner, suite.source)
        of_cells: dict[str, Values] = {}
        if named is not None:
            content, place = named
            base |= content.of_task(task.name, source.file.problem if source.file else "", place)
            configure(task.settings, base, owner, place)
            of_cells = {cell: {**base, **values} for cell, values in content.cells.items()}
            for values in of_cells.values():
                configure(task.settings, values, owner, place)
        mine = changes[task.name]
        place = "--set" if mine else suite.source
        config, *others = (
            configure(task.settings, {**values, **mine}, owner, place) for values in (base, *of_cells.values())
        )
        per_cell = dict(zip(of_cells, others, strict=True))
        planned.append(PlannedTask(task, source, config, is_implied, per_cell, frozenset(mine)))
    return _in_order(planned)


def _check_after(
    task: Task, source: TaskSource, found: Sequence[tuple[Task, SuiteTask, TaskSource, bool]]
) -> None:
    if task.after is None:
        return
    place = find_source(task.after).place
    before = next(other for other, _, there, _ in found if there.place == place)
    if not before.leaves:
        raise CellzooError(
            f"{source.place}: key 'after' is {task.after!r}, whose runs leave nothing behind; a task file that "
            'probes can come after has: leaves = "vectors"'
        )


def _after(planned: PlannedTask, tasks: Iterable[PlannedTask]) -> str:
    """Name of the planned task that another one comes after; empty if it comes after none."""
    if planned.task.after is None:
        return ""
    place = find_source(planned.task.after).place
    return next(other.name for other in tasks if other.source.place == place)


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
        ready = next((item for item in waiting if _after(item, planned) not in names - {item.name}), waiting[0])
        ordered.append(ready)
        waiting.remove(ready)
    return ordered


def _baselines(planned: PlannedTask, subjects: Sequence[Subject]) -> Iterable[Subject]:
    for name in planned.task.baselines_for(planned.config):
        for subject in subjects:
            if subject.name == name:
                raise CellzooError(
                    f"cell {name!r} ({subject.origin}) is named as a baseline of {planned.name!r}; rename it"
                )
        yield Subject(name, None, "baseline")


def _find_all(
    tasks: Sequence[PlannedTask], data_dir: Path | None, *, skips: bool
) -> tuple[dict[str, FoundData], dict[str, str]]:
    """Find the data of all tasks.

    Args:
        tasks: In order, each behind the one it comes after.
        data_dir: As in `make_plan`.
        skips: Whether tasks may be left out.

    Returns:
        The data sets, and the tasks that are left out with the reason.

    Raises:
        DataNotFoundError: Data is not there, and no task that was asked for is left without it.
        DataError: Data is damaged.
    """
    data: dict[str, FoundData] = {}
    missing: dict[str, str] = {}
    first: DataNotFoundError | None = None
    for planned in tasks:
        before = _after(planned, tasks)
        if before in missing:
            missing[planned.name] = f"it comes after {before}"
            continue
        for name in planned.task.data(planned.config):
            try:
                data |= {} if name in data else find_data([name], data_dir)
            except DataNotFoundError as error:
                if not skips:
                    raise
                first = first or error
                missing[planned.name] = (
                    f"its data set {name!r} was not found; `cellzoo data where {name}` says where it can be"
                )
                break
    if first is not None and all(planned.is_implied or planned.name in missing for planned in tasks):
        raise first
    return data, missing


def find_data(names: Iterable[str], data_dir: Path | None) -> dict[str, FoundData]:
    """Find and verify each data set once.

    Raises:
        DataError: A data set that is nowhere or is not the known one.
    """
    from tasks.data.locate import find

    return {name: find(name, data_dir) for name in dict.fromkeys(names)}

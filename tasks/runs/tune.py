"""Tuning: every cell gets the same number of random configurations, and its best on dev is what is evaluated.

Settings that come with a task suit the cell that they were chosen for, as a rule `lstm`. A trial is a run like
any other, on a seed of its own; its record says that it is for tuning, and a ranking leaves it out. What is
evaluated says in its record from which space and out of how many trials its configuration was chosen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cellzoo.errors import CellzooError
from tasks.runs.job import make_job
from tasks.runs.record import TuningReference
from tasks.settings import configure, plain
from tasks.tuning.space import describe, draw, task_space

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.runs.events import Failure
    from tasks.runs.job import Job
    from tasks.runs.plan import PlannedTask, RunPlan
    from tasks.runs.record import RunRecord
    from tasks.settings import Settings
    from tasks.task import Subject

SEED = 2**32 - 1
"""Of all trials: no seed that anyone counts to, so that a choice is not measured on the run that made it."""


@dataclass(frozen=True)
class Trial:
    """One configuration of a cell on a task.

    Attributes:
        number: From 0; the same number is the same configuration for every cell.
        config: The configuration.
        job: Its run.
    """

    number: int
    config: Settings
    job: Job


@dataclass(frozen=True)
class Trials:
    """All trials of a plan.

    Attributes:
        count: Of each cell on each task.
        of_cells: (task, identity of the cell) -> its trials.
        notes: What is not tuned, and why.
    """

    count: int
    of_cells: Mapping[tuple[str, str], Sequence[Trial]]
    notes: tuple[str, ...]

    @property
    def jobs(self) -> tuple[Job, ...]:
        """Their runs: the first trial of every cell, then the second, ..."""
        rounds = zip(*self.of_cells.values(), strict=True)
        return tuple(trial.job for trials in rounds for trial in trials)


def plan_trials(plan: RunPlan, count: int) -> Trials:
    """Draw the configurations of a plan's tasks, the same for each of its cells.

    Args:
        plan: What is evaluated. Baselines keep the task's configuration; so does what reads another task's run,
            which is the run of the configuration that was chosen there.
        count: Configurations of each task.

    Raises:
        CellzooError: A task has nothing to draw, or a drawn value is not one that it takes.
    """
    found: dict[tuple[str, str], list[Trial]] = {}
    notes = []
    for planned in plan.tasks:
        task = planned.task
        metric = task.dev_metric(planned.config)
        if task.after is not None or metric is None:
            why = "it reads what another task leaves" if task.after else "it measures nothing on dev"
            notes.append(f"{planned.name} is not tuned: {why}")
            continue
        space = task_space(task.name, task.settings, task.tuning, planned.fixed)
        for subject in _cells(plan, planned):
            own = planned.config_of(subject)
            for number in range(count):
                drawn = draw(space, own, task.name, number)
                config = configure(task.settings, {**plain(own), **drawn}, f"task {task.name!r}", "--tune")
                job = make_job(
                    task,
                    planned.source,
                    config,
                    subject,
                    SEED,
                    plan.data,
                    purpose="tuning",
                    tuning=TuningReference(chosen_by=metric.name, space=describe(space), trial=number),
                )
                trial = Trial(number, config, replace(job, leaves=""))
                found.setdefault((task.name, subject.identity), []).append(trial)
    if not found:
        raise CellzooError(f"--tune {count}: there is nothing to tune: {'; '.join(notes)}")
    return Trials(count, found, tuple(notes))


def tuned_plan(
    plan: RunPlan, trials: Trials, records: Mapping[str, RunRecord], failures: Sequence[Failure] = ()
) -> RunPlan:
    """The plan with the best configuration of each cell; a cell none of whose trials was measured is left out.

    Args:
        plan: Before tuning.
        trials: Of the plan.
        records: Key -> record, of the trials that were done.
        failures: Of the others, which are worse than any that was measured.
    """
    notes = list(trials.notes)
    chosen: dict[tuple[str, str], Trial] = {}
    for (task, identity), of_cell in trials.of_cells.items():
        planned = next(one for one in plan.tasks if one.name == task)
        name = of_cell[0].job.subject.name
        best, score = _best(planned, of_cell, records)
        keys = {trial.job.key for trial in of_cell}
        reasons = [failure.message for failure in failures if failure.job.key in keys]
        if reasons:
            notes.append(f"{task}, {name}: {len(reasons)} of {len(of_cell)} trials failed, first: {reasons[0]}")
        if best is None:
            notes.append(f"{task}, {name}: is not evaluated, as no trial has a result")
            continue
        chosen[task, identity] = best
        notes.append(f"{task}, {name}: trial {best.number} is the best of {len(of_cell)} on dev ({score:.4g})")
    tasks = tuple(_with_choices(planned, chosen, trials.count, plan) for planned in plan.tasks)
    return replace(plan, tasks=tasks, jobs=_jobs(plan, tasks, trials, chosen), notes=(*plan.notes, *notes))


def _with_choices(
    planned: PlannedTask, chosen: Mapping[tuple[str, str], Trial], count: int, plan: RunPlan
) -> PlannedTask:
    configs, references = dict(planned.of_cells), {}
    for subject in _cells(plan, planned):
        best = chosen.get((planned.name, subject.identity))
        if best is not None and best.job.tuning is not None:
            configs[subject.name] = best.config
            references[subject.name] = best.job.tuning.model_copy(update={"trials": count})
    return replace(planned, of_cells=configs, tunings=references)


def _jobs(
    plan: RunPlan,
    tasks: Sequence[PlannedTask],
    trials: Trials,
    chosen: Mapping[tuple[str, str], Trial],
) -> tuple[Job, ...]:
    by_name = {planned.name: planned for planned in tasks}
    made: dict[str, Job] = {}
    for job in plan.jobs:
        planned, subject = by_name[job.task], job.subject
        place = (job.task, subject.identity)
        if (place in trials.of_cells and place not in chosen) or (job.after and job.after not in made):
            continue
        before = made[job.after] if job.after else None
        config = planned.config_of(subject)
        made[job.key] = make_job(
            planned.task,
            planned.source,
            config,
            subject,
            job.seed,
            plan.data,
            after=before,
            keeps=planned.task.keeps(config) if plan.keeps_models and subject.cell else "",
            tuning=before.tuning if before else planned.tunings.get(subject.name),
        )
    return tuple({job.key: job for job in made.values()}.values())


def _cells(plan: RunPlan, planned: PlannedTask) -> list[Subject]:
    jobs = (job for job in plan.jobs if job.task == planned.name and job.subject.cell is not None)
    return list({job.subject.identity: job.subject for job in jobs}.values())


def _best(
    planned: PlannedTask, trials: Sequence[Trial], records: Mapping[str, RunRecord]
) -> tuple[Trial | None, float]:
    """The trial with the best value on dev, the first of equal ones, and that value."""
    metric = planned.task.dev_metric(planned.config)
    best: Trial | None = None
    best_score = math.nan
    for trial in trials:
        record = records.get(trial.job.key)
        score = math.nan if record is None or metric is None else record.value(metric.name)
        if math.isnan(score) or metric is None:
            continue
        sign = 1 if metric.higher_is_better else -1
        if best is None or sign * score > sign * best_score:
            best, best_score = trial, score
    return best, best_score

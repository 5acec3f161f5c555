"""Confirmation: the best of several cells is trained again on fresh seeds.

The largest of several means is too large on average (the winner's curse). Runs on seeds that had no part in the
choice have no such bias; their records say what they are for, and a ranking leaves them out.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from tasks.runs.job import make_job

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.runs.job import Job
    from tasks.runs.plan import PlannedTask, RunPlan
    from tasks.runs.record import RunRecord
    from tasks.task import Subject


def confirmation_jobs(
    plan: RunPlan, records: Mapping[str, RunRecord], count: int
) -> tuple[list[Job], tuple[str, ...]]:
    """The runs that confirm the best cell of each task of a plan.

    Args:
        plan: What was run.
        records: Key -> record of its runs.
        count: Fresh seeds for each task: those that follow the largest of the plan.

    Returns:
        The runs, those before others whose artifact these read, and a note for each task.
    """
    first = 1 + max(job.seed for job in plan.jobs)
    jobs: dict[str, Job] = {}
    notes = []
    for planned in plan.tasks:
        if planned.is_implied:
            continue
        best, why_none = _best(planned, plan.jobs, records)
        if best is None:
            notes.append(f"{planned.name}: nothing is confirmed, as {why_none}")
            continue
        seeds = range(first, first + count)
        notes.append(
            f"{planned.name}: {best.name} has the best mean; it is confirmed on the seeds "
            f"{', '.join(map(str, seeds))}"
        )
        for seed in seeds:
            for job in _runs(plan, planned, best, seed):
                jobs.setdefault(job.key, job)
    return list(jobs.values()), tuple(notes)


def _runs(plan: RunPlan, planned: PlannedTask, subject: Subject, seed: int) -> list[Job]:
    """The run of a task, behind the one whose artifact it reads."""
    before = plan.before(planned)
    first = [] if before is None else _runs(plan, before, subject, seed)
    return [
        *first,
        make_job(
            planned.task,
            planned.source,
            planned.config_of(subject),
            subject,
            seed,
            plan.data,
            after=first[-1] if first else None,
            purpose="confirmation",
            tuning=first[-1].tuning if first else planned.tunings.get(subject.name),
        ),
    ]


def _best(
    planned: PlannedTask, jobs: Sequence[Job], records: Mapping[str, RunRecord]
) -> tuple[Subject | None, str]:
    """The cell with the best mean of the primary metric, or why there is none."""
    values: dict[str, list[float]] = {}
    subjects: dict[str, Subject] = {}
    higher = True
    for job in jobs:
        if job.task != planned.name or job.subject.cell is None:
            continue
        record = records.get(job.key)
        if record is None:
            return None, f"{job.label} is not there"
        if record.score is None:
            return None, f"the result of {job.label} is undefined"
        subjects[job.subject.identity] = job.subject
        values.setdefault(job.subject.identity, []).append(record.score)
        metric = record.metrics[record.primary]
        higher = metric.higher_is_better
    if len(subjects) < 2:
        return None, "only one cell was run, so none was chosen"
    means = {identity: _mean(of_subject, planned) for identity, of_subject in values.items()}
    return subjects[max(means, key=lambda identity: means[identity] if higher else -means[identity])], ""


def _mean(values: Sequence[float], planned: PlannedTask) -> float:
    """A board compares perplexities in logarithms, so their mean is the geometric one."""
    is_perplexity = planned.task.metrics(planned.config)[0].name.endswith("perplexity")
    return statistics.geometric_mean(values) if is_perplexity and min(values) > 0 else statistics.fmean(values)

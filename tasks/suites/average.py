"""The mean over the tasks of a suite, such as GLUE's."""

from __future__ import annotations

import math
from collections import defaultdict
from statistics import fmean, median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tasks.runs.record import RunRecord
    from tasks.suites.suite import Suite

MISMATCHED = "mismatched_accuracy"


def task_score(record: RunRecord) -> float:
    """What a run counts in the average: the first metric; of MNLI the mean of its two dev sets, as in GLUE."""
    values = [record.value(record.primary)]
    if MISMATCHED in record.metrics:
        values.append(record.value(MISMATCHED))
    return fmean(values)


def describe_average(suite: Suite, records: Sequence[RunRecord], skipped: Sequence[str] = ()) -> Iterator[str]:
    """Say the average of each subject, or why it has none.

    Args:
        suite: One that has an average; for others nothing is said.
        records: Its runs.
        skipped: Tasks that were left out or not run: then there is no average at all.
    """
    if not suite.average:
        return
    names = [task.name for task in suite.tasks]
    if skipped:
        yield f"no {suite.average}: {len(skipped)} of {len(names)} tasks are missing ({', '.join(skipped)})"
        return
    scores: dict[str, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for record in records:
        scores[record.cell.name][record.task.name][record.seed] = task_score(record)
    for subject, of_tasks in scores.items():
        yield f"{suite.average}, {subject}: {_average(names, of_tasks)}"


def _average(names: Sequence[str], scores: Mapping[str, Mapping[int, float]]) -> str:
    seeds = sorted({seed for of_task in scores.values() for seed in of_task})
    lacking = [name for name in names if len(scores.get(name, {})) < len(seeds)]
    if lacking:
        return f"none, runs of {', '.join(lacking)} failed"
    undefined = [name for name in names if any(map(math.isnan, scores[name].values()))]
    if undefined:
        return f"none, {', '.join(undefined)} is undefined"
    means = [fmean(scores[name][seed] for name in names) for seed in seeds]
    spread = f", median {median(means):.1f}, {min(means):.1f} to {max(means):.1f}" if len(means) > 1 else ""
    return f"{fmean(means):.1f} ({len(names)} tasks, {len(seeds)} seed(s){spread})"

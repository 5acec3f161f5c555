"""What runs of GLUE's tasks say: mean and median, degenerate runs, and what a test set of its size can show."""

from __future__ import annotations

import math
from collections import defaultdict
from statistics import NormalDist, fmean, median
from typing import TYPE_CHECKING

import numpy as np

from leaderboards.evidence import read_columns
from leaderboards.settings import group_by_settings
from leaderboards.stats.items import evaluate
from tasks.suites.average import describe_average, task_score
from tasks.suites.suite import find_suite

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from leaderboards.collect import Collection
    from tasks.runs.record import RunRecord

PARTIAL = "-sample"
"""How the names of tasks end whose data is a part of the official one."""
_TWO_SIDED = NormalDist().inv_cdf(0.975)


def smallest_difference(metrics: Sequence[str], columns: Mapping[str, Sequence[Any]]) -> float | None:
    """The smallest difference between two models that a test set tells from chance, in points.

    Two models whose errors are independent and whose values are as here differ by less in 19 of 20 test sets of
    this size if they are equally good: 1.96 √2 standard errors. For an accuracy p on n examples that is
    1.96 √(2 p (1 - p) / n).

    Args:
        metrics: Of the task; where there are several their mean is meant.
        columns: Of one run's items on that test set.

    Returns:
        None where the items do not give the metrics, or no prediction differs from another.
    """
    found = [evaluate(name, columns) for name in metrics]
    contributions = [one.contributions for one in found if one is not None]
    if not contributions or len(contributions) < len(metrics):
        return None
    each = np.mean(contributions, axis=0)  # (items,)
    error = float(each.std() / math.sqrt(len(each)))
    return 100.0 * _TWO_SIDED * math.sqrt(2.0) * error if error else None


def describe(collection: Collection) -> Iterator[str]:
    """Say what the runs of GLUE's tasks say, in lines; nothing of other tasks."""
    suite = find_suite("glue")
    names = [task.name for task in suite.tasks]
    known = {*names, *(name + PARTIAL for name in names)}
    records = [r for r in collection.records if r.task.name in known and r.purpose != "tuning"]
    for group in group_by_settings(records):
        yield from _task(collection, group)
    missing = [name for name in names if name not in {record.task.name for record in records}]
    official = [record for record in records if record.task.name in names]
    if len(group_by_settings(official)) > len(names):
        yield f"no {suite.average}: tasks were run under several settings; name a folder that holds one of them"
    else:
        yield from describe_average(suite, official, missing)


def is_degenerate(columns: Mapping[str, Sequence[Any]]) -> bool:
    """Whether a model predicts one and the same for every example."""
    return len(set(columns.get("prediction", ()))) == 1


def _task(collection: Collection, group: Sequence[RunRecord]) -> Iterator[str]:
    first = group[0]
    # A run whose metrics are undefined, such as a constant one's correlations, does not have them all.
    named = dict.fromkeys(name for record in group for name in record.metrics)
    metrics = [name for name in named if name in ("accuracy", "f1", "mcc", "pearson", "spearman")]
    runs: dict[str, list[RunRecord]] = defaultdict(list)
    for record in group:
        runs[record.cell.name].append(record)
    columns = {record.key: read_columns(collection.items[record.key], "test") for record in group}
    count = len(columns[first.key].get("gold", ()))
    sizes = [smallest_difference(metrics, columns[r.key]) for r in group if r.cell.kind == "cell"]
    known = [size for size in sizes if size is not None]
    title = first.metrics[first.primary].title
    partial = ", partial data: not a GLUE score" if first.task.name.endswith(PARTIAL) else ""
    yield f"{first.task.name}: {title}, {count:,} examples{partial}"
    if known:
        yield f"  smallest difference that a test set of this size can show: {median(known):.1f} points"
    yield f"  {'':<20}  mean  median    min    max  seeds  degenerate"
    for name in sorted(runs, key=lambda name: (runs[name][0].cell.kind == "baseline", name)):
        values = [value for value in map(task_score, runs[name]) if not math.isnan(value)]
        same = sum(is_degenerate(columns[record.key]) for record in runs[name])
        shown = (
            f"{fmean(values):6.1f}  {median(values):6.1f} {min(values):6.1f} {max(values):6.1f}"
            if values
            else f"{'undefined':>28}"
        )
        yield f"  {name:<20}{shown}  {len(runs[name]):5}  {f'{same} of {len(runs[name])}':>10}"

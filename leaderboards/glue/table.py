"""Summarises runs of GLUE's tasks: mean and median, degenerate runs, the smallest detectable difference."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
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
"""Suffix of tasks whose data is only a part of the official data."""
_TWO_SIDED = NormalDist().inv_cdf(0.975)


def smallest_difference(metrics: Sequence[str], columns: Mapping[str, Sequence[Any]]) -> float | None:
    """The smallest difference between two models that is significant on a test set of this size, in points.

    Two equally good models with independent errors differ by less than this in 19 of 20 test sets of this size:
    1.96 √2 standard errors. For an accuracy p on n examples that is 1.96 √(2 p (1 - p) / n).

    Args:
        metrics: Names of the task's metrics; with several, the difference of their mean is computed.
        columns: Field -> values of the items of one run on that test set.

    Returns:
        None if the metrics cannot be computed from the items, or if all items contribute the same.
    """
    found = [evaluate(name, columns) for name in metrics]
    contributions = [one.contributions for one in found if one is not None]
    if not contributions or len(contributions) < len(metrics):
        return None
    each = np.mean(contributions, axis=0)  # (items,)
    error = float(each.std() / math.sqrt(len(each)))
    return 100.0 * _TWO_SIDED * math.sqrt(2.0) * error if error else None


def describe(collection: Collection) -> Iterator[str]:
    """Describe the runs of GLUE's tasks in lines of text; other tasks are ignored."""
    suite = find_suite("glue")
    names = [task.name for task in suite.tasks]
    known = {*names, *(name + PARTIAL for name in names)}
    records = [r for r in collection.records if r.task.name in known and r.purpose == "evaluation"]
    for group in group_by_settings(records):
        yield from _task(collection, group)
    missing = [name for name in names if name not in {record.task.name for record in records}]
    official = [record for record in records if record.task.name in names]
    cells = {(record.cell.name, record.cell.hash) for record in official}
    if len(cells) > len({name for name, _ in cells}):
        yield f"no {suite.average}: several cells have the same name; give a folder with one of them"
    elif len(group_by_settings(official)) > len(names):
        yield f"no {suite.average}: tasks were run with several settings; give a folder with one of them"
    else:
        yield from describe_average(suite, official, missing)


def is_degenerate(columns: Mapping[str, Sequence[Any]]) -> bool:
    """Whether a model predicts the same label for every example."""
    return len(set(columns.get("prediction", ()))) == 1


def _task(collection: Collection, group: Sequence[RunRecord]) -> Iterator[str]:
    first = group[0]
    # Runs whose correlation is undefined, as for constant predictions, lack some of the metrics.
    named = dict.fromkeys(name for record in group for name in record.metrics)
    metrics = [name for name in named if name in ("accuracy", "f1", "mcc", "pearson", "spearman")]
    runs: dict[tuple[str, str | None], list[RunRecord]] = defaultdict(list)
    for record in group:
        runs[record.cell.name, record.cell.hash].append(record)
    uses = Counter(name for name, _ in runs)
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
    # Baselines, which have no hash, come last.
    for name, digest in sorted(runs, key=lambda cell: (cell[1] is None, cell[0], cell[1] or "")):
        of_cell = runs[name, digest]
        label = f"{name} {digest[:8]}" if digest and uses[name] > 1 else name
        values = [value for value in map(task_score, of_cell) if not math.isnan(value)]
        same = sum(is_degenerate(columns[record.key]) for record in of_cell)
        shown = (
            f"{fmean(values):6.1f}  {median(values):6.1f} {min(values):6.1f} {max(values):6.1f}"
            if values
            else f"{'undefined':>28}"
        )
        yield f"  {label:<20}{shown}  {len(of_cell):5}  {f'{same} of {len(of_cell)}':>10}"

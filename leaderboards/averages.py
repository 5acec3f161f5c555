"""Averages over tasks, of scores on a common scale, for subjects with results on all of these tasks.

Each result is rescaled linearly so that the task's floor is 0 and its reference 1; both are stored with the
task's revision (`[scale]` of a task file). Perplexities are rescaled in logarithms. Runs of different tasks are
independent even if they have the same seed, so averaging the results of one seed over the tasks gives
independent samples of the average, which are compared like the runs of any task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from leaderboards.board import Average, Averages
from leaderboards.stats.families import pairs, samples, spread_of
from leaderboards.stats.ranks import ranges_from
from leaderboards.stats.seeds import FEWEST_SEEDS, scale_of, summarize, to_scale

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from leaderboards.board import BoardSubject, TaskTable
    from leaderboards.stats.ranks import RankRange
    from tasks.task_file import Scale

FEWEST_TASKS = 2


def averages(tables: Sequence[TaskTable], scale: Callable[[TaskTable], Scale | None]) -> Averages | None:
    """Average over the tasks that have a scale.

    Args:
        tables: All tables of a board.
        scale: Returns the scale of a table's task, for the revision of the table.

    Returns:
        None with fewer than `FEWEST_TASKS` such tasks, or if no subject has results on all of them.
    """
    current = [table for table in tables if table.superseded_by is None and table.has_cells]
    scales: dict[str, Scale] = {}
    passed_over: dict[str, str] = {}
    for table in current:
        found = scale(table)
        if sum(other.task == table.task for other in current) > 1:
            passed_over[table.task] = "was run with several settings"
        elif found is None:
            passed_over[table.task] = "has no scale"
        else:
            scales[table.task] = found
    used = tuple(table for table in current if table.task in scales)
    if len(used) < FEWEST_TASKS:
        return None
    subjects = dict.fromkeys(row.subject for table in used for row in table.rows)
    whole: dict[BoardSubject, tuple[tuple[int, ...], list[list[float]]]] = {}
    lacking: dict[BoardSubject, tuple[str, ...]] = {}
    for subject in subjects:
        by_task = [_by_seed(table, subject, scales[table.task]) for table in used]
        seeds = tuple(sorted(set.intersection(*map(set, by_task))))
        if seeds:
            whole[subject] = seeds, [[100 * of_task[seed] for seed in seeds] for of_task in by_task]
        else:
            without = [table.task for table, of_task in zip(used, by_task, strict=True) if not of_task]
            lacking[subject] = tuple(without) or ("a seed with results on all tasks",)
    if not whole:
        return None
    runs = {
        subject: [sum(of_seed) / len(used) for of_seed in zip(*by_task, strict=True)]
        for subject, (_, by_task) in whole.items()
    }
    ranks = _ranks(runs)
    rows = [
        Average(
            subject,
            seeds,
            summarize(runs[subject], "plain"),
            tuple(sum(of_task) / len(of_task) for of_task in by_task),
            ranks.get(subject),
        )
        for subject, (seeds, by_task) in whole.items()
    ]
    return Averages(used, tuple(sorted(rows, key=_place)), lacking, passed_over)


def task_scale(table: TaskTable) -> Scale | None:
    """The scale of a table's task, if this version of cellzoo has that revision of the task."""
    from tasks.registry import find_source, task_names

    # Records may come from other people: the name of a task is only looked up, never used as a path.
    if table.task not in task_names():
        return None
    file = find_source(table.task).file
    return file.scale if file is not None and file.revision == table.revision else None


def share(value: float, scale: Scale, metric: str) -> float:
    """A value rescaled so that the floor is 0 and the reference 1; negative below the floor."""
    on = scale_of(metric)
    floor, reference = to_scale(scale.floor, on), to_scale(scale.reference, on)
    return (to_scale(value, on) - floor) / (reference - floor)


def _by_seed(table: TaskTable, subject: BoardSubject, scale: Scale) -> dict[int, float]:
    row, name = table.row(subject), table.primary.name
    if row is None or name not in row.metrics:
        return {}
    values = zip(row.metric_seeds[name], row.metrics[name].values, strict=True)
    return {seed: share(value, scale, name) for seed, value in values if value > 0 or scale_of(name) == "plain"}


def _ranks(runs: Mapping[BoardSubject, Sequence[float]]) -> dict[BoardSubject, RankRange]:
    ranked = [subject for subject, values in runs.items() if len(values) >= FEWEST_SEEDS]
    if not ranked:
        return {}
    taken = samples([runs[subject] for subject in ranked])
    compared = pairs(taken, spread_of(taken))
    return dict(zip(ranked, ranges_from(compared, len(ranked), higher_is_better=True), strict=True))


def _place(row: Average) -> tuple[bool, int, int, str, str]:
    rank = row.rank
    return (
        rank is None,
        rank.first if rank else 0,
        rank.last if rank else 0,
        row.subject.name,
        row.subject.hash or "",
    )

"""Compares two states of a results folder and lists what is new, better and worse, as Markdown."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from leaderboards.render import numbers
from leaderboards.render.grid import table_title
from leaderboards.render.markdown import plain
from leaderboards.render.notes import label
from leaderboards.stats.families import holm
from leaderboards.stats.seeds import FEWEST_SEEDS, to_scale

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from leaderboards.board import Board, Row, TaskTable

_Entry: TypeAlias = "tuple[TaskTable, Row]"
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Change:
    """An entry that is in both states with different results.

    Attributes:
        table: Its table in the second state.
        unlike: Names of the settings that differ between the states.
        before: Its row in the first state.
        after: Its row in the second state.
        p: p value of Welch's test, adjusted by Holm's method over all changes; None with too few seeds.
    """

    table: TaskTable
    unlike: tuple[str, ...]
    before: Row
    after: Row
    p: float | None

    @property
    def verdict(self) -> str:
        """`better`, `worse`, `within noise`, or why there is no verdict."""
        if self.p is None:
            return f"fewer than {FEWEST_SEEDS} seeds"
        if self.p >= 0.05:
            return "within noise"
        name = self.table.primary.name
        up = self.after.metrics[name].mean > self.before.metrics[name].mean
        return "better" if up == self.table.primary.higher_is_better else "worse"


def compare_boards(before: Board, after: Board) -> str:
    """Write the changes as Markdown."""
    shared, new, gone = _matched(before, after)
    changes = _tested([pair for pair in shared if _results(*pair[0]) != _results(*pair[1])])
    same = len(shared) - len(changes)
    parts = [f"# {plain(after.title)}: changes"]
    for title, verdict in (("Better", "better"), ("Worse", "worse")):
        parts += [f"## {title}", *_listed([c for c in changes if c.verdict == verdict])]
    parts += [
        "## Changed, no significant difference",
        *_listed([c for c in changes if c.verdict not in ("better", "worse")]),
    ]
    parts += ["## New", *_names(new), "## Gone", *_names(gone)]
    unchanged = "1 entry is unchanged" if same == 1 else f"{same} entries are unchanged"
    parts.append(f"{unchanged}. Better and worse: Welch's test at 5 %, adjusted by Holm over all changes.")
    return "\n\n".join(parts) + "\n"


def _matched(before: Board, after: Board) -> tuple[list[tuple[_Entry, _Entry]], list[_Entry], list[_Entry]]:
    tasks = [[_task(table) for table in board.tables] for board in (before, after)]
    # A task with one table in each state is matched whatever its settings, so that these show as a change.
    single = {task for task in tasks[0] if tasks[0].count(task) == tasks[1].count(task) == 1}
    old, now = dict(_entries(before, single)), dict(_entries(after, single))
    shared = [(old[place], now[place]) for place in now if place in old]
    new = [now[place] for place in now if place not in old]
    return shared, new, [old[place] for place in old if place not in now]


def _task(table: TaskTable) -> tuple[object, ...]:
    """Identifies the tables that may be compared: the same task, revision and primary metric."""
    return table.task, table.revision, table.primary.name, table.primary.higher_is_better


def _entries(board: Board, single: Collection[object]) -> Iterator[tuple[tuple[object, ...], _Entry]]:
    for table in board.tables:
        task = _task(table)
        settings = () if task in single else tuple(sorted(table.settings.items()))
        for row in table.rows:
            yield (*task, settings, row.subject.hash or row.subject.name), (table, row)


def _results(table: TaskTable, row: Row) -> set[tuple[str, float | None]]:
    return {(record.key, record.metrics[table.primary.name].value) for record in row.runs}


def _tested(pairs: Sequence[tuple[_Entry, _Entry]]) -> list[Change]:
    raw: dict[str, float] = {}
    for place, pair in enumerate(pairs):
        values = [_values(table, row) for table, row in pair]
        if min(map(len, values)) >= FEWEST_SEEDS:
            raw[str(place)] = _welch(*values)
    adjusted: Mapping[str, float] = holm(raw)
    return [
        Change(table, _unlike(old, table), before, after, adjusted.get(str(place)))
        for place, ((old, before), (table, after)) in enumerate(pairs)
    ]


def _unlike(before: TaskTable, after: TaskTable) -> tuple[str, ...]:
    names = before.settings.keys() | after.settings.keys()
    return tuple(sorted(name for name in names if before.settings.get(name) != after.settings.get(name)))


def _welch(before: Sequence[float], after: Sequence[float]) -> float:
    """The p value of Welch's test; 0 where neither side has any spread and the means differ."""
    from scipy.stats import ttest_ind

    first, *others = (*before, *after)
    if all(math.isclose(first, other, rel_tol=_ROUNDING) for other in others):
        return 1.0
    with warnings.catch_warnings():
        # scipy warns where values are nearly equal; a p that is not finite is handled below.
        warnings.simplefilter("ignore", RuntimeWarning)
        p = float(ttest_ind(before, after, equal_var=False).pvalue)
    return p if math.isfinite(p) else 0.0


def _values(table: TaskTable, row: Row) -> list[float]:
    return [to_scale(value, table.standing.scale) for value in row.metrics[table.primary.name].values]


def _listed(changes: Sequence[Change]) -> list[str]:
    if not changes:
        return ["None."]
    lines = ["| Task | Cell | Before | After | |", "|:---|:---|---:|---:|:---|"]
    for change in changes:
        primary = change.table.primary
        fields = [table_title(change.table), label(change.after.subject)]
        for row in (change.before, change.after):
            summary = row.metrics[primary.name]
            fields.append(f"{numbers.mean_and_std(summary, primary.digits)} ({numbers.seeds(summary.n)})")
        unlike = f"; different settings: {', '.join(change.unlike)}" if change.unlike else ""
        fields.append(f"{change.verdict}{unlike}")
        lines.append("| " + " | ".join(map(plain, fields)) + " |")
    return ["\n".join(lines)]


def _names(entries: Sequence[_Entry]) -> list[str]:
    if not entries:
        return ["None."]
    lines = []
    for table, row in entries:
        summary = row.metrics[table.primary.name]
        value = numbers.mean_and_std(summary, table.primary.digits)
        seeds = numbers.seeds(summary.n)
        lines.append(f"- {plain(f'{label(row.subject)} on {table_title(table)}: {value} ({seeds})')}")
    return ["\n".join(lines)]

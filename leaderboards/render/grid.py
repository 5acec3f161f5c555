"""Tables of a board as grids of text, the same for every renderer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from leaderboards.render import numbers

if TYPE_CHECKING:
    from collections.abc import Callable

    from leaderboards.board import Board, Cost, MetricColumn, Row, Subject, TaskTable
    from leaderboards.stats import Summary

Direction = Literal["ascending", "descending"]


@dataclass(frozen=True)
class GridColumn:
    """A heading.

    Attributes:
        title: What it says.
        numeric: Whether its values sort as numbers.
        first: The direction that a first click sorts in.
        detail: A second line of the heading.
        brief: What it says where there is little room; empty if `title` is brief enough.
        sorted_by: The direction that the rows come in, if they come in the order of this column.
    """

    title: str
    numeric: bool = True
    first: Direction = "ascending"
    detail: str = ""
    brief: str = ""
    sorted_by: Direction | None = None


@dataclass(frozen=True)
class GridCell:
    """A field.

    Attributes:
        text: What it says.
        value: What it sorts by; None if it is missing.
        note: A small second line.
        strong: Whether it may be the best.
    """

    text: str
    value: float | str | None
    note: str = ""
    strong: bool = False


@dataclass(frozen=True)
class GridRow:
    """A subject's fields; the first one names it."""

    cells: tuple[GridCell, ...]
    is_baseline: bool


@dataclass(frozen=True)
class Grid:
    """A table without its medium."""

    columns: tuple[GridColumn, ...]
    rows: tuple[GridRow, ...]


ABSENT = GridCell(numbers.MISSING, None)


def overview_grid(board: Board) -> Grid:
    """Subjects by tables: mean ± std of the primary metric, number of seeds, range of ranks."""
    columns = [
        GridColumn("Cell", numeric=False),
        *(
            GridColumn(
                table_title(table),
                first=_best_first(table.primary),
                detail=_metric_title(table.primary),
                brief=_lettered(table.task, table),
            )
            for table in board.tables
        ),
    ]
    rows = [
        GridRow(
            (subject_cell(subject), *(_overview_cell(table, subject) for table in board.tables)),
            subject.is_baseline,
        )
        for subject in board.subjects
    ]
    return Grid(tuple(columns), tuple(rows))


def task_grid(table: TaskTable) -> Grid:
    """Everything about each subject on one task; cost columns without any value are left out."""
    columns = [
        GridColumn("Cell", numeric=False),
        GridColumn("Rank"),
        *(
            GridColumn(
                _metric_title(column),
                first=_best_first(column),
                sorted_by=_best_first(column) if column is table.primary else None,
            )
            for column in table.columns
        ),
        GridColumn("95 % interval", first=_best_first(table.primary), detail=table.primary.title),
        GridColumn("Seeds", first="descending"),
    ]
    costs = [
        (column, value, write)
        for column, value, write in _COSTS
        if any(value(row.cost) is not None for row in table.rows)
    ]
    leaders = table.leaders
    rows = [
        GridRow(
            (
                subject_cell(row.subject),
                GridCell(str(row.rank), row.rank.first + row.rank.last / 1e6),
                *(_metric_cell(row, column, row.subject in leaders, table) for column in table.columns),
                _interval_cell(row, table.primary),
                GridCell(str(len(row.seeds)), len(row.seeds), note=_unusual(row.seeds)),
                *(GridCell(write(value(row.cost)), value(row.cost)) for _, value, write in costs),
            ),
            row.subject.is_baseline,
        )
        for row in table.rows
    ]
    return Grid((*columns, *(column for column, _, _ in costs)), tuple(rows))


def table_title(table: TaskTable) -> str:
    """The task's title, with the letter that tells its tables apart."""
    return _lettered(table.title, table)


def subject_cell(subject: Subject) -> GridCell:
    """The field that names a row."""
    note = "baseline" if subject.is_baseline else subject.tag
    return GridCell(subject.name, f"{subject.name} {subject.tag}", note=note)


_COSTS: tuple[tuple[GridColumn, Callable[[Cost], float | None], Callable[[float | None], str]], ...] = (
    (GridColumn("Parameters", detail="of the cell"), lambda cost: cost.parameters_cell, numbers.count),
    (
        GridColumn("Parameters", detail="without embeddings"),
        lambda cost: cost.parameters_without_embeddings,
        numbers.count,
    ),
    (GridColumn("Parameters", detail="all"), lambda cost: cost.parameters_total, numbers.count),
    (GridColumn("FLOPs a token", detail="of the cell"), lambda cost: cost.flops_per_token, numbers.count),
    (GridColumn("Training time", detail="mean"), lambda cost: cost.train_seconds, numbers.duration),
    (
        GridColumn("Tokens a second", first="descending", detail="mean"),
        lambda cost: cost.tokens_per_second,
        numbers.count,
    ),
)


def _lettered(text: str, table: TaskTable) -> str:
    return f"{text} ({table.variant})" if table.variant else text


def _best_first(column: MetricColumn) -> Direction:
    return "descending" if column.higher_is_better else "ascending"


def _metric_title(column: MetricColumn) -> str:
    return f"{column.title} {'↑' if column.higher_is_better else '↓'}"


def _overview_cell(table: TaskTable, subject: Subject) -> GridCell:
    row = table.row(subject)
    if row is None:
        return ABSENT
    summary = row.metrics[table.primary.name]
    return GridCell(
        numbers.mean_and_std(summary, table.primary.digits),
        summary.mean,
        note=f"{numbers.seeds(summary.n)}, rank {row.rank}",
        strong=subject in table.leaders,
    )


def _metric_cell(row: Row, column: MetricColumn, is_leader: bool, table: TaskTable) -> GridCell:
    summary = row.metrics.get(column.name)
    if summary is None:
        return ABSENT
    note = _partial(row, summary)
    return GridCell(
        numbers.mean_and_std(summary, column.digits), summary.mean, note, is_leader and column is table.primary
    )


def _partial(row: Row, summary: Summary) -> str:
    """Say so where a value stands on one seed, or not on all of the row's seeds."""
    if summary.n < len(row.seeds):
        return f"{summary.n} of {numbers.seeds(len(row.seeds))}"
    return "1 seed" if summary.n == 1 else ""


def _interval_cell(row: Row, primary: MetricColumn) -> GridCell:
    summary = row.metrics.get(primary.name)
    if summary is None or summary.interval is None:
        return ABSENT
    return GridCell(numbers.interval(summary, primary.digits), summary.interval[0])


def _unusual(seeds: tuple[int, ...]) -> str:
    """The seeds, the first few of them, unless they count from 0."""
    if seeds == tuple(range(len(seeds))):
        return ""
    shown = ", ".join(map(str, seeds[:4]))
    return f"seed{'s' if len(seeds) > 1 else ''} {shown}{', …' if len(seeds) > 4 else ''}"

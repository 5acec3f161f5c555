"""The tables of a board as grids of text, which all renderers use."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from leaderboards.render import numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from leaderboards.board import Board, BoardSubject, Cost, MetricColumn, Row, TaskTable
    from leaderboards.stats.families import Comparison
    from leaderboards.stats.seeds import Scale, Summary

Direction = Literal["ascending", "descending"]


@dataclass(frozen=True)
class GridColumn:
    """A column heading.

    Attributes:
        title: The heading.
        numeric: Whether values are sorted as numbers.
        first: Sorting direction of the first click.
        detail: Second line of the heading.
        brief: Short form of the heading, for narrow places; empty if `title` is short enough.
        sorted_by: Direction in which the rows are sorted by this column, if they are.
    """

    title: str
    numeric: bool = True
    first: Direction = "ascending"
    detail: str = ""
    brief: str = ""
    sorted_by: Direction | None = None


@dataclass(frozen=True)
class GridCell:
    """A table cell.

    Attributes:
        text: The text.
        value: Value to sort by; None if it is missing.
        note: Second line, in small print.
        strong: Whether to show it in bold.
        views: Name of a view of the page -> text that it shows in place of `text`.
    """

    text: str
    value: float | str | None
    note: str = ""
    strong: bool = False
    views: Mapping[str, str] = field(default_factory=dict)

    @property
    def sorts_as(self) -> str:
        """The value to sort by as text; numbers have enough digits for sorting."""
        if not isinstance(self.value, float):
            return str(self.value)
        return f"{self.value:.7g}"


@dataclass(frozen=True)
class GridRow:
    """A table row; its first cell is the name of the subject.

    Attributes:
        cells: The cells.
        is_baseline: Whether the subject is a baseline.
        subject: The subject; None for a published result.
        source: Source of a published result.
        parameters: Total parameters of the model.
    """

    cells: tuple[GridCell, ...]
    is_baseline: bool
    subject: BoardSubject | None = None
    source: str = ""
    parameters: float | None = None


@dataclass(frozen=True)
class Grid:
    """A table, independent of the output format."""

    columns: tuple[GridColumn, ...]
    rows: tuple[GridRow, ...]


PRIMARY_PLACE = 2
"""Column of the primary metric in `task_grid`, after the name and the rank."""
ABSENT = GridCell(numbers.MISSING, None)


def overview_grid(board: Board) -> Grid:
    """A row for each subject and a column for each table: mean ± std of the primary metric, seeds, ranks."""
    columns = [
        GridColumn("Cell", numeric=False),
        *(
            GridColumn(
                table_title(table),
                first=_best_first(table.primary),
                detail=_metric_title(table.primary),
                brief=_lettered(table.task, table),
            )
            for table in board.overview
        ),
    ]
    shown = {row.subject for table in board.overview for row in table.rows}
    rows = [
        GridRow(
            (subject_cell(subject), *(_overview_cell(table, subject) for table in board.overview)),
            subject.is_baseline,
            subject,
        )
        for subject in board.subjects
        if subject in shown
    ]
    return Grid(tuple(columns), tuple(rows))


def task_grid(table: TaskTable) -> Grid:
    """All results of one table; columns without any value are left out. Published results come last."""
    primary, scale = table.primary, table.standing.scale
    leaders = table.leaders
    control = next((row.subject.name for row in table.rows if row.is_control), "")
    fields: list[tuple[GridColumn, Callable[[Row], GridCell]]] = [
        (
            GridColumn("Cell" if table.has_cells else "Entry", numeric=False),
            lambda row: subject_cell(row.subject),
        ),
        (GridColumn("Rank"), _rank_cell),
        *(
            (
                GridColumn(_metric_title(column), first=_best_first(column)),
                lambda row, column=column: _metric_cell(row, column, row.subject in leaders, table),
            )
            for column in table.columns
        ),
        (
            GridColumn("95 % interval", first=_best_first(primary), detail="this test set"),
            lambda row: _interval_cell(row.metrics[primary.name].interval, primary),
        ),
        (
            GridColumn("95 % interval", first=_best_first(primary), detail="new test sets"),
            lambda row: _interval_cell(row.metrics[primary.name].new_items, primary),
        ),
        (
            GridColumn(f"Against {control}", first=_best_first(primary), detail="this test set"),
            lambda row: _difference_cell(row.against, scale, primary.digits),
        ),
        (
            GridColumn(f"Against {control}", first=_best_first(primary), detail="new test sets"),
            lambda row: _difference_cell(row.against_new, scale, primary.digits),
        ),
        (
            GridColumn("Seeds", first="descending"),
            lambda row: GridCell(str(len(row.seeds)), len(row.seeds), note=_unusual(row.seeds)),
        ),
        (GridColumn("Width", detail="solved for"), _width_cell),
        *(
            (column, lambda row, value=value, write=write: GridCell(write(value(row.cost)), value(row.cost)))
            for column, value, write in _COSTS
        ),
    ]
    kept = [
        (column, cell)
        for place, (column, cell) in enumerate(fields)
        if place < 2 + len(table.columns) or any(cell(row).value is not None for row in table.rows)
    ]
    columns = tuple(column for column, _ in kept)
    measured = [
        GridRow(
            tuple(cell(row) for _, cell in kept),
            row.subject.is_baseline,
            row.subject,
            parameters=row.cost.parameters_total,
        )
        for row in table.rows
    ]
    return Grid(columns, (*measured, *_reported(table, columns)))


def _reported(table: TaskTable, columns: tuple[GridColumn, ...]) -> Iterator[GridRow]:
    for result in table.reported:
        cells = []
        for place, column in enumerate(columns):
            if place == 0:
                cells.append(GridCell(result.name, result.name, note="reported"))
            elif place == PRIMARY_PLACE:
                text = f"{result.value:g}" + (" *" if result.mark else "")
                cells.append(GridCell(text, result.value))
            elif (column.title, column.detail) == ("Parameters", "all") and result.parameters:
                cells.append(GridCell(f"about {result.parameters:,}", result.parameters))
            else:
                cells.append(ABSENT)
        yield GridRow(tuple(cells), is_baseline=False, source=result.said_of, parameters=result.parameters)


def table_title(table: TaskTable) -> str:
    """The title of the task, with the letter of the table if the task has several."""
    return _lettered(table.title, table)


def subject_cell(subject: BoardSubject) -> GridCell:
    """The first cell of a row, with the name of the subject."""
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
    (
        GridColumn("Latency", detail="one sentence, median"),
        lambda cost: cost.milliseconds,
        numbers.milliseconds,
    ),
)


def _lettered(text: str, table: TaskTable) -> str:
    return f"{text} ({table.variant})" if table.variant else text


def _best_first(column: MetricColumn) -> Direction:
    return "descending" if column.higher_is_better else "ascending"


def _metric_title(column: MetricColumn) -> str:
    return f"{column.title} {'↑' if column.higher_is_better else '↓'}"


def _overview_cell(table: TaskTable, subject: BoardSubject) -> GridCell:
    row = table.row(subject)
    if row is None:
        return ABSENT
    summary = row.metrics[table.primary.name]
    digits = table.primary.digits
    rank = f"rank {row.rank}" if row.rank else "unranked"
    return GridCell(
        numbers.mean_and_std(summary, digits),
        summary.mean,
        note=f"{numbers.seeds(summary.n)}, {rank}",
        strong=subject in table.leaders,
        views={
            "interval": numbers.interval(summary.interval, digits),
            "new": numbers.interval(summary.new_items, digits),
            "rank": str(row.rank) if row.rank else numbers.MISSING,
        },
    )


def _rank_cell(row: Row) -> GridCell:
    if row.rank is None:
        return GridCell(numbers.MISSING, None)
    return GridCell(str(row.rank), row.rank.first + row.rank.last / 1e6)


def _difference_cell(comparison: Comparison | None, scale: Scale, digits: int) -> GridCell:
    if comparison is None:
        return ABSENT
    return GridCell(
        numbers.difference(comparison, scale, digits), comparison.difference, strong=comparison.apart
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
    """A note if a value is from one seed, or not from all seeds of the row."""
    if summary.n < len(row.seeds):
        return f"{summary.n} of {numbers.seeds(len(row.seeds))}"
    return "1 seed" if summary.n == 1 else ""


def _interval_cell(interval: tuple[float, float] | None, primary: MetricColumn) -> GridCell:
    if interval is None:
        return ABSENT
    return GridCell(numbers.interval(interval, primary.digits), interval[0])


def _width_cell(row: Row) -> GridCell:
    held = next((run.held for run in row.runs if run.held is not None), None)
    if held is None:
        return ABSENT
    return GridCell(f"{held.hidden_size:,}", float(held.hidden_size), note=f"{100 * held.deviation:+.1f} %")


def _unusual(seeds: tuple[int, ...]) -> str:
    """The first few seeds, unless they are 0, 1, 2, ..."""
    if seeds == tuple(range(len(seeds))):
        return ""
    shown = ", ".join(map(str, seeds[:4]))
    return f"seed{'s' if len(seeds) > 1 else ''} {shown}{', …' if len(seeds) > 4 else ''}"

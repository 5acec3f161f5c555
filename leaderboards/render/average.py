"""The average over tasks: its table, remarks on it, and the critical difference diagram."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellzoo.pages.axis import linear_axis
from cellzoo.pages.chart import Chart
from cellzoo.system.text import shortened
from leaderboards.render import notes, numbers
from leaderboards.render.grid import Grid, GridCell, GridColumn, GridRow, subject_cell, table_title
from leaderboards.stats.critical import FEWEST_TASKS, critical_difference

if TYPE_CHECKING:
    from leaderboards.board import Average, Averages

DIGITS = 1
WIDTH, LEFT, RIGHT, TOP, ROW = 760, 180, 700, 62, 18


def average_grid(averages: Averages) -> Grid:
    """A row for each subject: the average score with its interval, then the score on each task, in per cent."""
    columns = (
        GridColumn("Cell", numeric=False),
        GridColumn("Rank"),
        GridColumn("Average", first="descending", detail="per cent"),
        GridColumn("95 % interval", first="descending", detail="these test sets"),
        GridColumn("Seeds", first="descending"),
        *(GridColumn(table_title(table), first="descending") for table in averages.tables),
    )
    return Grid(
        columns,
        tuple(GridRow(_cells(row), row.subject.is_baseline, row.subject) for row in averages.rows),
    )


def average_remarks(averages: Averages) -> list[str]:
    """How the average is computed, and which tasks and subjects are not in it."""
    found = [
        "Scores are rescaled: 0 is a task's floor (a majority or uniform prediction), 100 its reference; "
        "perplexities are rescaled in logarithms."
    ]
    if averages.passed_over:
        tasks = ", ".join(f"{task} ({why})" for task, why in averages.passed_over.items())
        found.append(f"Not in the average: {tasks}.")
    if averages.lacking:
        names = "; ".join(
            f"{notes.label(subject)} (lacks {', '.join(tasks)})" for subject, tasks in averages.lacking.items()
        )
        found.append(f"No average, as results are missing: {shortened(names, 2000)}.")
    if len(averages.tables) < FEWEST_TASKS:
        found.append(
            f"There is no critical difference diagram: it needs at least {FEWEST_TASKS} tasks, and there are "
            f"{len(averages.tables)}."
        )
    return found


def critical_picture(averages: Averages, identity: str) -> str:
    """The critical difference diagram as one `<svg>` element; empty with too few tasks or cells."""
    rows = [row for row in averages.rows if not row.subject.is_baseline]
    found = critical_difference([list(of_task) for of_task in zip(*(row.shares for row in rows), strict=True)])
    if found is None:
        return ""
    order = sorted(range(len(rows)), key=lambda place: (found.ranks[place], rows[place].subject.name))
    # Of each cell, itself and the worse cells that do not differ from it significantly.
    reach = [
        [other for other in order if 0 <= found.ranks[other] - found.ranks[place] <= found.difference]
        for place in order
    ]
    bars = [
        group
        for number, group in enumerate(reach)
        if len(group) > 1 and not any(set(group) <= set(earlier) for earlier in reach[:number])
    ]
    height = TOP + ROW * len(rows) + 26
    title = f"Average ranks over {found.tasks} tasks"
    words = ", ".join(f"{notes.label(rows[place].subject)} {found.ranks[place]:.2f}" for place in order)
    chart = Chart.new(WIDTH, height, title, words, identity)
    axis = linear_axis(1.0, float(len(rows)))
    said = f"critical difference {found.difference:.2f} (Nemenyi, 5 %); Friedman's p {found.p:.2g}"
    chart.text(8, 22, f"{title}: {said}", "heading")
    chart.text(LEFT, 42, "bars join cells that do not differ significantly", "small")

    def across(rank: float) -> float:
        return LEFT + axis.share(rank) * (RIGHT - LEFT)

    chart.x_axis(axis, LEFT, RIGHT, TOP - 10, height - 26)
    for line, place in enumerate(order):
        down = TOP + ROW * line
        chart.text(LEFT - 10, down + 4, shortened(notes.label(rows[place].subject), 24), "name end")
        chart.group("first").dot(across(found.ranks[place]), down, tip=f"{found.ranks[place]:.2f}")
    for bar in bars:
        down = TOP + ROW * order.index(bar[0]) + 5
        first, last = found.ranks[bar[0]], found.ranks[bar[-1]]
        chart.group("first").line(across(first), down, across(last), down, "mean")
    return chart.to_svg()


def _cells(row: Average) -> tuple[GridCell, ...]:
    rank = row.rank
    leads = rank is not None and rank.first == 1 and rank.last == 1
    ends = row.summary.interval
    return (
        subject_cell(row.subject),
        GridCell(str(rank), rank.first + rank.last / 1e6) if rank else GridCell(numbers.MISSING, None),
        GridCell(numbers.mean_and_std(row.summary, DIGITS), row.summary.mean, strong=leads),
        GridCell(numbers.interval(ends, DIGITS), ends[0] if ends else None),
        GridCell(str(len(row.seeds)), len(row.seeds)),
        *(GridCell(numbers.metric(value, DIGITS), value) for value in row.shares),
    )

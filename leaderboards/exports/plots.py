"""The plots of a board as PDF and PNG files for papers and slides, drawn by matplotlib."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from cellzoo.errors import MissingDependencyError
from cellzoo.system.text import shortened
from leaderboards.relations import relations
from leaderboards.render import notes
from leaderboards.render.compare import epoch_numbers
from leaderboards.render.grid import table_title
from leaderboards.render.scatter import COSTS, pareto, relation_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from leaderboards.board import Board, Cost, Row, TaskTable
    from leaderboards.relations import Relation

INCHES = (6.4, 4.0)
DOTS_PER_INCH = 200
NAMED = 15
LARGEST_DRAWN = 1e290
STYLE: Any = {
    "figure.figsize": INCHES,
    "figure.constrained_layout.use": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "font.size": 9,
    "pdf.fonttype": 42,
    "text.parse_math": False,
}
"""Fonts are embedded as TrueType, which journals require; a `$` in a name does not start a formula."""


def plot_files(board: Board) -> dict[str, bytes]:
    """File name -> content: for each table results, costs and learning curves; and pairs of tasks.

    Equal boards give equal bytes.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingDependencyError("--also plots needs matplotlib: pip install matplotlib") from error
    found: dict[str, bytes] = {}
    with mpl.rc_context(STYLE):
        for name, draw in _plots(board):
            figure = Figure()
            draw(figure.subplots())
            for kind, options in (
                ("pdf", {"metadata": {"CreationDate": None}}),
                ("png", {"dpi": DOTS_PER_INCH, "metadata": {"Software": None}}),
            ):
                buffer = io.BytesIO()
                figure.savefig(buffer, format=kind, **options)
                found[f"{name}.{kind}"] = buffer.getvalue()
    return found


def _plots(board: Board) -> Iterator[tuple[str, Any]]:
    for table in board.tables:
        name = f"{table.task}-r{table.revision}{table.variant.lower()}"
        yield f"{name}-results", lambda axes, table=table: _results(axes, table)
        for words, cost in COSTS:
            if len({value for value, _, _ in _priced(table, cost)}) > 1:
                short = words.split()[0].lower()
                yield (
                    f"{name}-{short}",
                    lambda axes, table=table, words=words, cost=cost: _against_cost(axes, table, words, cost),
                )
        if any(_curve(table, row) for row in table.rows):
            yield f"{name}-curves", lambda axes, table=table: _curves(axes, table)
    for relation in relations(board.tables):
        first, second = (
            f"{table.task}-r{table.revision}{table.variant.lower()}"
            for table in (relation.first, relation.second)
        )
        yield f"{second}-against-{first}", lambda axes, relation=relation: _relation(axes, relation)


def _results(axes: Any, table: TaskTable) -> None:
    """A dot for each seed, the mean and its 95 % interval on this test set."""
    primary = table.primary
    rows = [row for row in table.rows if primary.name in row.metrics][::-1]
    for height, row in enumerate(rows):
        summary = row.metrics[primary.name]
        colour = _colour(row)
        values = [_drawable(value) for value in summary.values]
        axes.plot(values, [height] * summary.n, "o", color=colour, alpha=0.4, markersize=4)
        axes.plot([_drawable(summary.mean)], [height], "|", color=colour, markersize=14, markeredgewidth=2)
    # Intervals of two seeds are so wide that the values would be unreadable, so they do not extend the axis.
    low, high = axes.get_xlim()
    for height, row in enumerate(rows):
        ends = row.metrics[primary.name].interval
        if ends is not None:
            axes.plot(
                list(map(_drawable, ends)), [height, height], "-", color=_colour(row), alpha=0.6, linewidth=1
            )
    span = high - low
    axes.set_xlim(low - 0.3 * span, high + 0.3 * span)
    axes.set_yticks(range(len(rows)), [shortened(notes.label(row.subject), 30) for row in rows])
    axes.set_xlabel(_metric(table))
    axes.set_title(shortened(table_title(table), 70))
    axes.grid(visible=False, axis="y")
    axes.figure.set_size_inches(INCHES[0], max(INCHES[1] / 2, 0.9 + 0.22 * len(rows)))


def _against_cost(axes: Any, table: TaskTable, words: str, cost: Any) -> None:
    primary = table.primary
    points = _priced(table, cost)
    front = pareto([(x, y) for x, y, _ in points], higher_is_better=primary.higher_is_better)
    for x, y, row in points:
        axes.plot([x], [y], "s" if row.subject.is_baseline else "o", color=_colour(row), alpha=0.7)
    axes.plot([points[i][0] for i in front], [points[i][1] for i in front], "-", color="0.5", zorder=0)
    for place, (x, y, row) in enumerate(points):
        if place in front[:NAMED] or len(points) <= NAMED:
            _name(axes, x, y, notes.label(row.subject))
    if min(x for x, _, _ in points) > 0:
        from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(words)
    axes.set_ylabel(_metric(table))
    axes.set_title(f"{shortened(table_title(table), 60)} (line: Pareto front)")


def _priced(table: TaskTable, cost: Any) -> list[tuple[float, float, Row]]:
    name = table.primary.name

    def price(of: Cost) -> float | None:
        value: float | None = cost(of)
        return value

    return [
        (value, _drawable(row.metrics[name].mean), row)
        for row in table.rows
        if name in row.metrics and (value := price(row.cost)) is not None and value < 1e300
    ]


def _curves(axes: Any, table: TaskTable) -> None:
    """The dev metric by epoch: a thin line for each run, a colour for each cell."""
    for number, row in enumerate(row for row in table.rows[:10] if _curve(table, row)):
        for place, points in enumerate(_curve(table, row)):
            label = shortened(notes.label(row.subject), 30) if place == 0 else None
            axes.plot(*zip(*points, strict=True), color=f"C{number % 10}", linewidth=1, alpha=0.7, label=label)
    axes.set_xlabel("epoch")
    axes.set_ylabel(f"dev {table.primary.title}")
    axes.set_title(shortened(table_title(table), 70))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(fontsize=7, frameon=False)


def _curve(table: TaskTable, row: Row) -> list[list[tuple[int, float]]]:
    """For each run with learning curves, the points (epoch, primary metric on dev)."""
    found = []
    for record in row.runs:
        points = [
            (number, value)
            for number, epoch in enumerate(record.history, start=1)
            if (value := epoch_numbers(epoch).get(f"dev {table.primary.name}")) is not None
        ]
        if len(points) > 1:
            found.append(points)
    return found


def _relation(axes: Any, relation: Relation) -> None:
    axes.plot(list(map(_drawable, relation.xs)), list(map(_drawable, relation.ys)), "o", alpha=0.7)
    if len(relation.subjects) <= NAMED:
        for subject, x, y in zip(relation.subjects, relation.xs, relation.ys, strict=True):
            _name(axes, x, y, notes.label(subject))
    axes.set_xlabel(f"{relation.first.task}: {_metric(relation.first)}")
    axes.set_ylabel(f"{relation.second.task}: {_metric(relation.second)}")
    axes.set_title(relation_words(relation), fontsize=8)


def _drawable(value: float) -> float:
    """Matplotlib fails on axes whose length overflows."""
    return min(max(value, -LARGEST_DRAWN), LARGEST_DRAWN)


def _name(axes: Any, x: float, y: float, words: str) -> None:
    axes.annotate(shortened(words, 20), (x, y), xytext=(4, 4), textcoords="offset points", fontsize=7)


def _metric(table: TaskTable) -> str:
    return f"{table.primary.title} ({'higher' if table.primary.higher_is_better else 'lower'} is better)"


def _colour(row: Row) -> str:
    return "0.5" if row.subject.is_baseline else "C0"

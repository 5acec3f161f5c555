"""Scatter plots: scores against costs with the Pareto front, and results on one task against another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellzoo.pages.axis import linear_axis, logarithmic_axis
from cellzoo.pages.chart import Chart
from cellzoo.system.text import shortened
from leaderboards.render import notes, numbers
from leaderboards.render.grid import table_title

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from leaderboards.board import BoardSubject, Cost, Row, TaskTable
    from leaderboards.relations import Relation

WIDTH, HEIGHT = 760, 320
LEFT, RIGHT, TOP, BOTTOM = 70, 715, 40, 262
NAMED = 12
COSTS: tuple[tuple[str, Callable[[Cost], float | None]], ...] = (
    ("parameters of the cell", lambda cost: cost.parameters_cell),
    ("FLOPs a token of the cell", lambda cost: cost.flops_per_token),
    ("training time in seconds", lambda cost: cost.train_seconds),
    ("milliseconds for a sentence alone", lambda cost: cost.milliseconds),
)


def scatter_pictures(table: TaskTable, identity: str) -> list[str]:
    """One `<svg>` element for each cost for which entries have at least two different values."""
    pictures = []
    for number, (words, cost) in enumerate(COSTS):
        points = [(value, row) for row in table.rows if (value := cost(row.cost)) is not None and value < 1e300]
        if len({value for value, _ in points}) > 1:
            pictures.append(_picture(table, points, words, f"{identity}-{number}").to_svg())
    return pictures


def pareto(points: Sequence[tuple[float, float]], *, higher_is_better: bool) -> list[int]:
    """Indices of the points (cost, score) that are not dominated by another point, by increasing cost."""
    sign = 1 if higher_is_better else -1
    order = sorted(range(len(points)), key=lambda i: (points[i][0], -sign * points[i][1]))
    front: list[int] = []
    for index in order:
        if not front or sign * points[index][1] > sign * points[front[-1]][1]:
            front.append(index)
    return front


def relation_picture(relation: Relation, identity: str) -> str:
    """One `<svg>` element with a dot for each cell that has results on both tasks."""
    first, second = relation.first, relation.second
    title = f"{table_title(second)} against {table_title(first)}"
    chart = Chart.new(WIDTH, HEIGHT, title, relation_words(relation), identity)
    x_axis = linear_axis(min(relation.xs), max(relation.xs))
    y_axis = linear_axis(min(relation.ys), max(relation.ys))
    chart.text(8, 22, shortened(title, 100), "heading")
    chart.y_axis(y_axis, LEFT, RIGHT, TOP, BOTTOM)
    chart.x_axis(x_axis, LEFT, RIGHT, TOP, BOTTOM)
    chart.text((LEFT + RIGHT) / 2, HEIGHT - 22, f"{first.primary.title}, {first.task}", "small middle")
    chart.text(LEFT, HEIGHT - 6, relation_words(relation))
    for subject, x, y in zip(relation.subjects, relation.xs, relation.ys, strict=True):
        across = LEFT + x_axis.share(x) * (RIGHT - LEFT)
        down = BOTTOM - y_axis.share(y) * (BOTTOM - TOP)
        values = numbers.metric(x, first.primary.digits), numbers.metric(y, second.primary.digits)
        chart.group("first").dot(across, down, tip=f"{notes.label(subject)}: {', '.join(values)}")
        if len(relation.subjects) <= NAMED:
            _name(chart, across, down, subject)
    return chart.to_svg()


def relation_words(relation: Relation) -> str:
    """`Kendall's tau .43 (.02 to .71), 12 cells`."""
    found = relation.correlation
    tau, low, high = (f"{value:.2f}" for value in (found.tau, found.low, found.high))
    return f"Kendall's tau {tau} (95 % interval {low} to {high}), {found.cells} cells; 1: the same order"


def _picture(table: TaskTable, points: Sequence[tuple[float, Row]], words: str, identity: str) -> Chart:
    primary = table.primary
    scores = [row.metrics[primary.name].mean for _, row in points]
    costs = [float(cost) for cost, _ in points]
    front = pareto(list(zip(costs, scores, strict=True)), higher_is_better=primary.higher_is_better)
    names = ", ".join(notes.label(points[index][1].subject) for index in front)
    title = f"{table_title(table)}: {primary.title} against {words}"
    chart = Chart.new(WIDTH, HEIGHT, title, f"On the Pareto front, by rising cost: {names}", identity)
    x_axis, y_axis = logarithmic_axis(min(costs), max(costs)), linear_axis(min(scores), max(scores))
    chart.text(8, 22, f"{primary.title} against {words}", "heading")
    chart.y_axis(y_axis, LEFT, RIGHT, TOP, BOTTOM)
    chart.x_axis(x_axis, LEFT, RIGHT, TOP, BOTTOM)
    chart.text((LEFT + RIGHT) / 2, HEIGHT - 22, words, "small middle")
    chart.text(LEFT, HEIGHT - 22, "line: Pareto front")

    def place(index: int) -> tuple[float, float]:
        across = LEFT + x_axis.share(costs[index]) * (RIGHT - LEFT)
        return across, BOTTOM - y_axis.share(scores[index]) * (BOTTOM - TOP)

    chart.curve([place(index) for index in front], "curve")
    named = set(front[:NAMED])
    for index, (cost, row) in enumerate(points):
        x, y = place(index)
        group = chart.group("second" if row.subject.is_baseline else "first")
        value = numbers.metric(scores[index], primary.digits)
        mark = group.square if row.subject.is_baseline else group.dot
        mark(x, y, tip=f"{notes.label(row.subject)}: {value}, {numbers.count(cost)}")
        if index in named or len(points) <= NAMED:
            _name(group, x, y, row.subject)
    return chart


def _name(chart: Chart, x: float, y: float, subject: BoardSubject) -> None:
    """Draw a name next to a dot, on the side with enough space."""
    end = x > RIGHT - 100
    words = shortened(notes.label(subject), 20)
    chart.text(x + (-7 if end else 7), y - 6, words, "small end" if end else "small")

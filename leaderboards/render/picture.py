"""The pictures of a board: for each entry a dot for each seed, the mean, and its interval.

Cells are drawn as dots and baselines as squares, so that they can be distinguished without colour.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellzoo.pages.axis import Axis, linear_axis
from cellzoo.pages.chart import Chart, standalone
from cellzoo.system.text import shortened
from leaderboards.render import notes, numbers
from leaderboards.render.grid import table_title

if TYPE_CHECKING:
    from collections.abc import Sequence

    from leaderboards.board import MetricColumn, Row, TaskTable
    from leaderboards.stats.seeds import Summary

WIDTH = 760
RIGHT = 600
TOP, ROW, BOTTOM = 40, 30, 46
NAME_LIMIT, NAME_ROOM = 24, 8.4
"""Most characters of a name, and the width of a bold character."""
LEAST_LEFT = 96
CAP, ARROW = 5, 6
SHOWN_ROWS = 40
WHISKER_ROOM = 0.3
MARGIN = 0.06


@dataclass(frozen=True)
class _Place:
    """The horizontal axis, and its left end, to the right of the longest name."""

    axis: Axis
    left: float

    def x(self, value: float) -> float:
        return self.left + self.axis.share(value) * (RIGHT - self.left)


def task_picture(table: TaskTable, identity: str) -> str:
    """The picture of one table as an `<svg>` element for a page; `identity` is unique there."""
    return _picture(table, identity, table.primary.title).to_svg()


def all_pictures(tables: Sequence[TaskTable]) -> str:
    """All pictures, one below the other, as the text of an SVG file."""
    return standalone(
        [
            _picture(table, f"picture-{number}", f"{table_title(table)}: {table.primary.title}")
            for number, table in enumerate(tables, start=1)
        ]
    )


def axis_for(summaries: Sequence[Summary]) -> Axis:
    """An axis that shows all values, and the intervals as far as the values remain readable.

    An interval of two seeds is so wide that all values would be drawn in one spot. So intervals extend the axis
    by at most `WHISKER_ROOM` of the range of the values to each side, and are cut there.
    """
    values = [value for summary in summaries for value in summary.values]
    low, high = min(values), max(values)
    span = high - low
    if not span > abs(high) * 1e-9:
        span = abs(high) * 0.1 or 1.0
    ends = [end for summary in summaries for end in summary.interval or () if math.isfinite(end)]
    low = max(min([low, *ends]), low - WHISKER_ROOM * span) - MARGIN * span
    high = min(max([high, *ends]), high + WHISKER_ROOM * span) + MARGIN * span
    return linear_axis(low, high, ticks=8, to_ticks=False)


def _picture(table: TaskTable, identity: str, heading: str) -> Chart:
    rows, metric = table.rows[:SHOWN_ROWS], table.primary
    bottom = TOP + ROW * len(rows)
    height = bottom + BOTTOM
    chart = Chart.new(
        WIDTH, height, f"{table_title(table)}: {metric.title}", _described(rows, metric), identity
    )
    more = len(table.rows) - len(rows)
    chart.text(8, 22, heading + (f" (the first {len(rows)} of {len(table.rows)})" if more else ""), "heading")
    better = "higher is better →" if metric.higher_is_better else "← lower is better"
    longest = max(len(shortened(notes.label(row.subject), NAME_LIMIT)) for row in rows)
    left = max(LEAST_LEFT, 16 + NAME_ROOM * longest)
    chart.text((left + RIGHT) / 2, height - 12, better, "small middle")
    _legend(chart, RIGHT - 64, height - 16)
    place = _Place(axis_for([row.metrics[metric.name] for row in rows]), left)
    chart.x_axis(place.axis, left, RIGHT, TOP, bottom)
    for index, row in enumerate(rows):
        _entry(chart, row, metric, place, TOP + ROW * index + ROW / 2)
    return chart


def _legend(chart: Chart, x: float, y: float) -> None:
    group = chart.group("first")
    group.dot(x, y)
    group.text(x + 9, y + 4, "seed")
    group.line(x + 47, y - 6, x + 47, y + 6, "mean")
    group.text(x + 54, y + 4, "mean")
    group.line(x + 94, y, x + 112, y, "mark")
    for end in (x + 94, x + 112):
        group.line(end, y - CAP, end, y + CAP, "mark")
    group.text(x + 118, y + 4, "95 % interval")


def _described(rows: Sequence[Row], metric: MetricColumn) -> str:
    """A description of the picture for screen readers."""
    parts = []
    for row in rows:
        summary = row.metrics[metric.name]
        value = numbers.mean_and_std(summary, metric.digits)
        parts.append(f"{notes.label(row.subject)} {value} ({numbers.seeds(summary.n)})")
    return "; ".join(parts)


def _entry(chart: Chart, row: Row, metric: MetricColumn, place: _Place, y: float) -> None:
    summary, name = row.metrics[metric.name], notes.label(row.subject)
    group = chart.group("second" if row.subject.is_baseline else "first")
    group.text(place.left - 12, y + 4, shortened(name, NAME_LIMIT), "name end", tip=name)
    if summary.interval:
        _whisker(group, place, summary.interval, y)
    for seed, value in zip(row.metric_seeds[metric.name], summary.values, strict=True):
        mark = group.square if row.subject.is_baseline else group.dot
        mark(place.x(value), y, tip=f"{name}, seed {seed}: {numbers.metric(value, metric.digits)}")
    mean = place.x(summary.mean)
    group.line(mean, y - 9, mean, y + 9, "mean")
    group.text(RIGHT + 14, y + 4, numbers.mean_and_std(summary, metric.digits), "value")
    if summary.n == 1:
        group.text(WIDTH - 8, y + 4, "1 seed", "small end")


def _whisker(group: Chart, place: _Place, interval: tuple[float, float], y: float) -> None:
    """The interval: with a cap at its end, or an arrowhead if it continues beyond the axis."""
    low, high = interval
    left, right = place.x(low), place.x(high)
    group.line(left, y, right, y, "mark")
    for x, end, outwards in ((left, low, -1), (right, high, 1)):
        if place.axis.low <= end <= place.axis.high:
            group.line(x, y - CAP, x, y + CAP, "mark")
        else:
            group.arrow(x, y, outwards * ARROW)

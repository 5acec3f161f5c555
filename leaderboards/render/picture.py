"""A dot for each seed, a mean and its interval for each entry: the pictures of a board, as SVG.

Colours are classes, so that the page's style, or the one put into a file of its own, follows the
reader's light or dark scheme. Shapes tell cells and baselines apart without colour.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, tostring

from leaderboards.render import numbers
from leaderboards.render.axis import Axis, axis_for
from leaderboards.render.characters import printable
from leaderboards.render.grid import table_title

if TYPE_CHECKING:
    from collections.abc import Sequence

    from leaderboards.board import MetricColumn, Row, TaskTable

WIDTH = 760
LEFT, RIGHT = 190, 600
TOP, ROW, BOTTOM = 40, 30, 46
NAME_LIMIT = 24
CAP, ARROW, DOT = 5, 6, 4


def task_picture(table: TaskTable, identity: str) -> str:
    """The picture of one table as an `<svg>` element for a page, below the table's title there.

    `identity` is unique on the page.
    """
    return tostring(_picture(table, identity, table.primary.title), encoding="unicode")


def all_pictures(tables: Sequence[TaskTable], style: str) -> str:
    """All pictures, one below the other, as an SVG file with its own `style`."""
    pictures = [
        _picture(table, f"picture-{number}", f"{table_title(table)}: {table.primary.title}")
        for number, table in enumerate(tables, start=1)
    ]
    height = sum(int(picture.get("height", "0")) for picture in pictures)
    svg = Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "width": str(WIDTH),
            "height": str(height),
            "viewBox": f"0 0 {WIDTH} {height}",
            "class": "picture",
        },
    )
    SubElement(svg, "style").text = style
    SubElement(svg, "rect", {"class": "ground", "width": str(WIDTH), "height": str(height)})
    y = 0
    for picture in pictures:
        picture.set("y", str(y))
        y += int(picture.get("height", "0"))
        svg.append(picture)
    return printable(tostring(svg, encoding="unicode")) + "\n"


def _picture(table: TaskTable, identity: str, heading: str) -> Element:
    rows = table.rows
    metric = table.primary
    height = TOP + ROW * len(rows) + BOTTOM
    svg = Element(
        "svg",
        {
            "class": "picture",
            "width": str(WIDTH),
            "height": str(height),
            "viewBox": f"0 0 {WIDTH} {height}",
            "role": "img",
            "aria-labelledby": f"{identity}-title",
            "aria-describedby": f"{identity}-text",
        },
    )
    SubElement(svg, "title", {"id": f"{identity}-title"}).text = f"{table_title(table)}: {metric.title}"
    SubElement(svg, "desc", {"id": f"{identity}-text"}).text = _described(rows, metric)
    _text(svg, 8, 22, heading, "heading")
    better = "higher is better →" if metric.higher_is_better else "← lower is better"
    _text(svg, (LEFT + RIGHT) / 2, height - 12, better, "small middle")
    _legend(svg, RIGHT - 64, height - 16)
    axis = axis_for([row.metrics[metric.name] for row in rows])
    _grid(svg, axis, TOP, TOP + ROW * len(rows))
    for index, row in enumerate(rows):
        _entry(svg, row, metric, axis, TOP + ROW * index + ROW / 2)
    return svg


def _legend(svg: Element, x: float, y: float) -> None:
    group = SubElement(svg, "g", {"class": "cell"})
    _circle(group, x, y)
    _text(group, x + 9, y + 4, "seed", "small")
    _line(group, x + 47, y - 6, x + 47, y + 6, "mean")
    _text(group, x + 54, y + 4, "mean", "small")
    _line(group, x + 94, y, x + 112, y, "whisker")
    for end in (x + 94, x + 112):
        _line(group, end, y - CAP, end, y + CAP, "whisker")
    _text(group, x + 118, y + 4, "95 % interval", "small")


def _described(rows: Sequence[Row], metric: MetricColumn) -> str:
    """The picture in words, for those who cannot see it."""
    parts = []
    for row in rows:
        summary = row.metrics[metric.name]
        parts.append(
            f"{_name(row)} {numbers.mean_and_std(summary, metric.digits)} ({numbers.seeds(summary.n)})"
        )
    return "; ".join(parts)


def _grid(svg: Element, axis: Axis, top: float, bottom: float) -> None:
    for tick in axis.ticks:
        x = _x(axis, tick)
        _line(svg, x, top, x, bottom, "tick")
        _text(svg, x, bottom + 15, numbers.metric(tick, axis.digits), "small middle")
    _line(svg, LEFT, bottom, RIGHT, bottom, "base")


def _entry(svg: Element, row: Row, metric: MetricColumn, axis: Axis, y: float) -> None:
    summary = row.metrics[metric.name]
    group = SubElement(svg, "g", {"class": "baseline" if row.subject.is_baseline else "cell"})
    name = _text(group, LEFT - 12, y + 4, numbers.shortened(_name(row), NAME_LIMIT), "name end")
    SubElement(name, "title").text = _name(row)
    if summary.interval:
        _whisker(group, axis, summary.interval, y)
    for seed, value in zip(row.metric_seeds[metric.name], summary.values, strict=True):
        shape = _square if row.subject.is_baseline else _circle
        dot = shape(group, _x(axis, value), y)
        SubElement(dot, "title").text = f"{_name(row)}, seed {seed}: {numbers.metric(value, metric.digits)}"
    mean = _x(axis, summary.mean)
    _line(group, mean, y - 9, mean, y + 9, "mean")
    _text(group, RIGHT + 14, y + 4, numbers.mean_and_std(summary, metric.digits), "value")
    if summary.n == 1:
        _text(group, WIDTH - 8, y + 4, "1 seed", "small end")


def _whisker(parent: Element, axis: Axis, interval: tuple[float, float], y: float) -> None:
    """The interval: a cap where it ends, an arrowhead where the axis ends before it."""
    low, high = interval
    left, right = _x(axis, low), _x(axis, high)
    _line(parent, left, y, right, y, "whisker")
    for x, end, outwards in ((left, low, -1), (right, high, 1)):
        if axis.low <= end <= axis.high:
            _line(parent, x, y - CAP, x, y + CAP, "whisker")
        else:
            points = (
                f"{x:.1f},{y:.1f} {x - outwards * ARROW:.1f},{y - 4:.1f} {x - outwards * ARROW:.1f},{y + 4:.1f}"
            )
            SubElement(parent, "polygon", {"points": points, "class": "arrow"})


def _x(axis: Axis, value: float) -> float:
    share = axis.share(value) if math.isfinite(value) else float(value > 0)
    return LEFT + share * (RIGHT - LEFT)


def _name(row: Row) -> str:
    return f"{row.subject.name} {row.subject.tag}".strip()


def _text(parent: Element, x: float, y: float, text: str, kind: str) -> Element:
    element = SubElement(parent, "text", {"x": f"{x:.1f}", "y": f"{y:.1f}", "class": kind})
    element.text = text
    return element


def _line(parent: Element, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
    ends = {"x1": f"{x1:.1f}", "y1": f"{y1:.1f}", "x2": f"{x2:.1f}", "y2": f"{y2:.1f}"}
    SubElement(parent, "line", {**ends, "class": kind})


def _circle(parent: Element, x: float, y: float) -> Element:
    return SubElement(parent, "circle", {"cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": str(DOT), "class": "dot"})


def _square(parent: Element, x: float, y: float) -> Element:
    place = {"x": f"{x - DOT:.1f}", "y": f"{y - DOT:.1f}"}
    return SubElement(parent, "rect", {**place, "width": str(2 * DOT), "height": str(2 * DOT), "class": "dot"})

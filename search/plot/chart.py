"""The course of a search as a chart: a panel for each curve, and a strip with the derived cells below them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellzoo.pages.axis import linear_axis, logarithmic_axis
from cellzoo.pages.chart import TINTS, Chart

if TYPE_CHECKING:
    from search.plot.course import Course, Curve, DerivedCell

WIDTH, LEFT, RIGHT = 760.0, 70.0, 740.0
TOP, PANEL, GAP, STRIP, BOTTOM = 44.0, 110.0, 40.0, 26.0, 40.0
# Boxes of at least this width are labelled with the hash of the cell.
_ROOM_FOR_HASH = 50.0


def draw_course(course: Course, *, heading: str = "") -> Chart:
    """Draw a course, with a heading for a picture outside a page. The same course gives the same chart."""
    bottom = TOP + len(course.curves) * (PANEL + GAP)
    chart = Chart.new(
        WIDTH, bottom + STRIP + BOTTOM, f"Course of the search: {course.title}", _in_words(course)
    )
    if heading:
        chart.text(12, 24, heading, "heading")
    for place, curve in enumerate(course.curves):
        _panel(chart.group(), curve, course, TOP + place * (PANEL + GAP))
    _strip(chart.group(), course, bottom)
    return chart


def _panel(chart: Chart, curve: Curve, course: Course, top: float) -> None:
    known = [(epoch, value) for epoch, value in enumerate(curve.values, start=1) if value is not None]
    values = [value for _, value in known]
    axis = (logarithmic_axis if curve.in_ratios else linear_axis)(min(values), max(values), ticks=4)
    chart.text(LEFT, top - 8, curve.title, "name")
    chart.y_axis(axis, LEFT, RIGHT, top, top + PANEL)
    for cell in course.cells[1:]:
        x = _x(course, cell.first - 0.5)
        chart.line(x, top, x, top + PANEL, "change")
    points = [(_x(course, epoch), top + PANEL * (1.0 - axis.share(value))) for epoch, value in known]
    chart.curve(points)
    for x, y in points:
        chart.dot(x, y, radius=2.4)


def _strip(chart: Chart, course: Course, top: float) -> None:
    chart.text(LEFT, top - 8, "derived cell", "name")
    order = list(dict.fromkeys(cell.hash for cell in course.cells))
    for cell in course.cells:
        left, right = _x(course, cell.first - 0.5), _x(course, cell.last + 0.5)
        tint = f"tint{order.index(cell.hash) % TINTS}"
        chart.box(left, top, right - left, STRIP, tint, tip=f"{in_words(cell, course.unit)}: {cell.genotype}")
        if right - left > _ROOM_FOR_HASH:
            chart.text((left + right) / 2, top + STRIP / 2 + 4, cell.hash[:6], "small middle")
    chart.text(LEFT, top + STRIP + 18, f"{course.unit} 1")
    chart.text(RIGHT, top + STRIP + 18, f"{course.unit} {course.epochs}", "small end")


def _in_words(course: Course) -> str:
    """A description of the chart for screen readers."""
    parts = []
    for curve in course.curves:
        known = [value for value in curve.values if value is not None]
        parts.append(f"{curve.title} from {known[0]:.4g} to {known[-1]:.4g}")
    cells = ", ".join(f"{cell.hash[:6]} ({in_words(cell, course.unit)})" for cell in course.cells)
    return f"{'; '.join(parts)}; derived cells: {cells}."


def in_words(cell: DerivedCell, unit: str) -> str:
    """When a cell was derived: `epoch 3`, or `epochs 1 to 2`."""
    return f"{unit} {cell.first}" if cell.first == cell.last else f"{unit}s {cell.first} to {cell.last}"


def _x(course: Course, epoch: float) -> float:
    return LEFT + (RIGHT - LEFT) * (epoch - 0.5) / course.epochs

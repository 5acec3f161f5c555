"""The course of a search as SVG: a panel for each curve, and below them which cell was derived when."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, tostring

from cellzoo.draw import palette
from cellzoo.draw.svg_elements import number, path, text
from cellzoo.system.text import printable
from search.plot.axis import Axis, axis_for

if TYPE_CHECKING:
    from search.plot.course import Course, Curve, DerivedCell

ROOT = "cellzoo-course"
WIDTH, LEFT, RIGHT = 760.0, 70.0, 740.0
TOP, PANEL, GAP, STRIP, BOTTOM = 44.0, 110.0, 40.0, 26.0, 40.0
_TINTS = (palette.INPUT, *palette.STATES, palette.OPERATIONS["relu"], palette.OPERATIONS["sigmoid"])


def style() -> str:
    """The style sheet; all its rules are below the class `cellzoo-course`."""
    return "\n".join(
        [
            f'.{ROOT} {{ font-family: system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif; }}',
            f".{ROOT} .heading {{ font-size: 15px; font-weight: 600; }}",
            f".{ROOT} .name {{ font-size: 12.5px; font-weight: 600; }}",
            f".{ROOT} .tick {{ font-size: 11px; }}",
            f".{ROOT} .end {{ text-anchor: end; }}",
            f".{ROOT} .middle {{ text-anchor: middle; }}",
            f".{ROOT} .curve {{ fill: none; stroke-width: 2; }}",
            f".{ROOT} .grid {{ stroke-width: 1; }}",
            f".{ROOT} .change {{ stroke-width: 1; stroke-dasharray: 2 3; }}",
            *_colours(dark=False),
            "@media (prefers-color-scheme: dark) {",
            *_colours(dark=True),
            "}",
            "",
        ]
    )


def chart(course: Course, *, is_part: bool = False) -> str:
    """Draw a course. The same course gives the same text.

    Args:
        course: The course.
        is_part: Whether it will stand in a page that has `style()` and the title.
    """
    panels = len(course.curves)
    height = TOP + panels * (PANEL + GAP) + STRIP + BOTTOM
    size = {
        "width": number(WIDTH),
        "height": number(height),
        "viewBox": f"0 0 {number(WIDTH)} {number(height)}",
    }
    svg = Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "class": ROOT, "role": "img", **size})
    SubElement(svg, "title").text = f"Course of the search: {course.title}"
    SubElement(svg, "desc").text = _in_words(course)
    if not is_part:
        SubElement(svg, "style").text = style()
        SubElement(svg, "rect", {"class": "ground", "width": "100%", "height": "100%"})
        text(svg, 12, 24, course.title, "heading")
    for place, curve in enumerate(course.curves):
        _panel(svg, curve, course, TOP + place * (PANEL + GAP))
    _strip(svg, course, TOP + panels * (PANEL + GAP))
    return printable(tostring(svg, encoding="unicode")) + "\n"


def _panel(svg: Element, curve: Curve, course: Course, top: float) -> None:
    group = SubElement(svg, "g")
    known = [(epoch, value) for epoch, value in enumerate(curve.values, start=1) if value is not None]
    axis = axis_for([value for _, value in known], logarithmic=curve.in_ratios)
    text(group, LEFT, top - 8, curve.title, "name")
    for tick in axis.ticks:
        y = _y(axis, tick, top)
        path(group, f"M{number(LEFT)},{number(y)}H{number(RIGHT)}", "grid")
        text(group, LEFT - 8, y + 4, f"{tick:g}", "tick end")
    for cell in course.cells[1:]:
        x = _x(course, cell.first - 0.5)
        path(group, f"M{number(x)},{number(top)}V{number(top + PANEL)}", "change")
    points = [f"{number(_x(course, epoch))},{number(_y(axis, value, top))}" for epoch, value in known]
    path(group, "M" + "L".join(points), "curve")
    for point in points:
        across, _, down = point.partition(",")
        SubElement(group, "circle", {"class": "dot", "cx": across, "cy": down, "r": "2.4"})


def _strip(svg: Element, course: Course, top: float) -> None:
    group = SubElement(svg, "g")
    text(group, LEFT, top - 8, "derived cell", "name")
    tints = {
        cell: place % len(_TINTS) for place, cell in enumerate(dict.fromkeys(c.hash for c in course.cells))
    }
    for cell in course.cells:
        left, right = _x(course, cell.first - 0.5), _x(course, cell.last + 0.5)
        extent = {"x": number(left), "y": number(top), "width": number(right - left), "height": number(STRIP)}
        box = SubElement(group, "rect", {"class": f"cell{tints[cell.hash]}", **extent})
        SubElement(box, "title").text = f"{_epochs(cell)}: {cell.genotype}"
        if right - left > 50:
            text(group, (left + right) / 2, top + STRIP / 2 + 4, cell.hash[:6], "tick middle")
    text(group, LEFT, top + STRIP + 18, "epoch 1", "tick")
    text(group, RIGHT, top + STRIP + 18, f"epoch {course.epochs}", "tick end")


def _in_words(course: Course) -> str:
    """The picture for those who cannot see it."""
    parts = []
    for curve in course.curves:
        known = [value for value in curve.values if value is not None]
        parts.append(f"{curve.title} from {known[0]:.4g} to {known[-1]:.4g}")
    cells = ", ".join(f"{cell.hash[:6]} ({_epochs(cell)})" for cell in course.cells)
    return f"{'; '.join(parts)}; derived cells: {cells}."


def _epochs(cell: DerivedCell) -> str:
    return f"epoch {cell.first}" if cell.first == cell.last else f"epochs {cell.first} to {cell.last}"


def _x(course: Course, epoch: float) -> float:
    return LEFT + (RIGHT - LEFT) * (epoch - 0.5) / course.epochs


def _y(axis: Axis, value: float, top: float) -> float:
    return top + PANEL * (1.0 - axis.place(value))


def _colours(*, dark: bool) -> list[str]:
    ink, quiet = (palette.DARK_INK, palette.DARK_QUIET) if dark else (palette.INK, palette.QUIET)
    ground, line = (
        (palette.GROUND.dark_fill, palette.GROUND.dark_line)
        if dark
        else (palette.GROUND.fill, palette.GROUND.line)
    )
    accent = palette.INPUT.dark_line if dark else palette.INPUT.line
    rules = [
        f".{ROOT} text {{ fill: {ink}; }}",
        f".{ROOT} .tick {{ fill: {quiet}; }}",
        f".{ROOT} .ground {{ fill: {ground}; }}",
        f".{ROOT} .grid, .{ROOT} .change {{ stroke: {line}; }}",
        f".{ROOT} .curve {{ stroke: {accent}; }}",
        f".{ROOT} .dot {{ fill: {accent}; }}",
    ]
    for place, tint in enumerate(_TINTS):
        fill, edge = (tint.dark_fill, tint.dark_line) if dark else (tint.fill, tint.line)
        rules.append(f".{ROOT} .cell{place} {{ fill: {fill}; stroke: {edge}; }}")
    return rules

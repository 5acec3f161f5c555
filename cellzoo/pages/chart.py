"""Charts as SVG: axes, ticks, curves, dots, boxes.

A `Chart` is an SVG element with methods that add to it, in pixels from its upper left corner. The appearance is
set by CSS classes, so that one style sheet, `chart_style()`, follows the light or dark colour scheme: a page
has it once, and a separate SVG file contains it (`standalone`).

Classes of texts: heading, name, small; middle and end for the anchor; value for aligned figures.
Classes of the rest: grid and base (axes), curve, dot, change (dashed), tint0, tint1, ... (fill and line).
Anything inside a group of the class `first` or `second` takes that colour: mark (thin line), mean (thick line),
dot, arrow.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, tostring

from cellzoo.draw import palette
from cellzoo.draw.svg_elements import number, path, text
from cellzoo.system.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cellzoo.pages.axis import Axis

ROOT = "cellzoo-chart"
_NAMESPACE = "http://www.w3.org/2000/svg"
_TINTS = (palette.INPUT, *palette.STATES, palette.OPERATIONS["relu"], palette.OPERATIONS["sigmoid"])
_FIRST, _SECOND = palette.OPERATIONS["tanh"], palette.OPERATIONS["sigmoid"]
TINTS = len(_TINTS)
"""How many classes tint0, tint1, ... there are."""
_DOT = 4.0


class Chart:
    """An SVG element that a picture is drawn into."""

    def __init__(self, element: Element) -> None:
        self.element = element

    @classmethod
    def new(cls, width: float, height: float, title: str, in_words: str, identity: str = "") -> Chart:
        """An empty chart.

        Args:
            width: In pixels.
            height: In pixels.
            title: What it shows.
            in_words: The same as the picture, for those who cannot see it.
            identity: Unique on the page, where there are several charts.
        """
        svg = _svg(width, height)
        svg.set("role", "img")
        named = {"title": title, "desc": in_words}
        for kind, words in named.items():
            child = SubElement(svg, kind, {"id": f"{identity}-{kind}"} if identity else {})
            child.text = words
        if identity:
            svg.set("aria-labelledby", f"{identity}-title")
            svg.set("aria-describedby", f"{identity}-desc")
        return cls(svg)

    def group(self, kind: str = "") -> Chart:
        """A part whose elements stand together and may share a class."""
        return Chart(SubElement(self.element, "g", {"class": kind} if kind else {}))

    def text(self, x: float, y: float, words: str, kind: str = "small", *, tip: str = "") -> None:
        """A line of text whose base line is at `y`; `tip` shows below the pointer."""
        _with_tip(text(self.element, x, y, words, kind), tip)

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        """A straight line."""
        path(self.element, f"M{number(x1)},{number(y1)}L{number(x2)},{number(y2)}", kind)

    def curve(self, points: Sequence[tuple[float, float]], kind: str = "curve") -> None:
        """A line through points."""
        path(self.element, "M" + "L".join(f"{number(x)},{number(y)}" for x, y in points), kind)

    def dot(self, x: float, y: float, *, radius: float = _DOT, tip: str = "") -> None:
        """A disc."""
        place = {"cx": number(x), "cy": number(y), "r": number(radius)}
        _with_tip(SubElement(self.element, "circle", {"class": "dot", **place}), tip)

    def square(self, x: float, y: float, *, radius: float = _DOT, tip: str = "") -> None:
        """A square about a point, which tells a second kind of dot apart without colour."""
        self.box(x - radius, y - radius, 2 * radius, 2 * radius, "dot", tip=tip)

    def box(self, x: float, y: float, width: float, height: float, kind: str, *, tip: str = "") -> None:
        """A rectangle."""
        extent = {"x": number(x), "y": number(y), "width": number(width), "height": number(height)}
        _with_tip(SubElement(self.element, "rect", {"class": kind, **extent}), tip)

    def arrow(self, x: float, y: float, size: float) -> None:
        """An arrowhead with its tip at a point; it points to the left where `size` is below 0."""
        points = ((x, y), (x - size, y - abs(size) * 0.7), (x - size, y + abs(size) * 0.7))
        written = " ".join(f"{number(across)},{number(down)}" for across, down in points)
        SubElement(self.element, "polygon", {"class": "arrow", "points": written})

    def x_axis(self, axis: Axis, left: float, right: float, top: float, bottom: float) -> None:
        """A value axis below a field: a line for each tick through the field, its label below."""
        for tick in axis.ticks:
            x = left + axis.share(tick) * (right - left)
            self.line(x, top, x, bottom, "grid")
            self.text(x, bottom + 15, axis.label(tick), "small middle")
        self.line(left, bottom, right, bottom, "base")

    def y_axis(self, axis: Axis, left: float, right: float, top: float, bottom: float) -> None:
        """A value axis at the left of a field: a line for each tick through the field, its label before it."""
        for tick in axis.ticks:
            y = bottom - axis.share(tick) * (bottom - top)
            self.line(left, y, right, y, "grid")
            self.text(left - 8, y + 4, axis.label(tick), "small end")

    def to_svg(self) -> str:
        """The chart as an element for a page that has `chart_style()`."""
        return printable(tostring(self.element, encoding="unicode"))


def standalone(charts: Sequence[Chart]) -> str:
    """The text of an SVG file with charts one below the other, a background and the style sheet."""
    sizes = [
        (float(chart.element.get("width", "0")), float(chart.element.get("height", "0"))) for chart in charts
    ]
    svg = _svg(max(width for width, _ in sizes), sum(height for _, height in sizes))
    SubElement(svg, "style").text = chart_style()
    SubElement(svg, "rect", {"class": "ground", "width": "100%", "height": "100%"})
    top = 0.0
    for chart, (_, height) in zip(charts, sizes, strict=True):
        chart.element.set("y", number(top))
        svg.append(chart.element)
        top += height
    return printable(tostring(svg, encoding="unicode")) + "\n"


@cache
def chart_style() -> str:
    """The style sheet of charts; all its rules are below the class `cellzoo-chart`."""
    rules = [
        'font: 13px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;',
        ".heading { font-size: 14px; font-weight: 600; }",
        ".name { font-weight: 600; }",
        ".small { font-size: 11.5px; }",
        ".middle { text-anchor: middle; }",
        ".end { text-anchor: end; }",
        ".value { font-variant-numeric: tabular-nums; }",
        ".second .name { font-style: italic; }",
        ".grid, .base { stroke-width: 1; }",
        ".curve { fill: none; stroke-width: 2; }",
        ".change { stroke-width: 1; stroke-dasharray: 2 3; }",
        ".mark { stroke-width: 1.5; stroke-opacity: 0.55; }",
        ".arrow { fill-opacity: 0.55; }",
        ".mean { stroke-width: 3; }",
        ".first .dot, .second .dot { fill-opacity: 0.35; stroke-width: 1; }",
    ]
    first, *others = rules
    light = [f".{ROOT} {{ {first} }}", *map(_scoped, others), *map(_scoped, _colours(dark=False))]
    dark = [f"  {_scoped(rule)}" for rule in _colours(dark=True)]
    # Print is always light.
    return "\n".join([*light, "@media screen and (prefers-color-scheme: dark) {", *dark, "}", ""])


def _svg(width: float, height: float) -> Element:
    size = {"width": number(width), "height": number(height)}
    view = f"0 0 {size['width']} {size['height']}"
    return Element("svg", {"xmlns": _NAMESPACE, "class": ROOT, **size, "viewBox": view})


def _with_tip(element: Element, tip: str) -> None:
    if tip:
        SubElement(element, "title").text = tip


def _scoped(rule: str) -> str:
    selectors, body = rule.split(" {", 1)
    return ", ".join(f".{ROOT} {selector}" for selector in selectors.split(", ")) + " {" + body


def _colours(*, dark: bool) -> Iterator[str]:
    ink, quiet = (palette.DARK_INK, palette.DARK_QUIET) if dark else (palette.INK, palette.QUIET)
    ground, faint = _pair(palette.GROUND, dark=dark)
    yield f"text {{ fill: {ink}; }}"
    yield f".small {{ fill: {quiet}; }}"
    yield f".ground {{ fill: {ground}; }}"
    yield f".grid, .change {{ stroke: {faint}; }}"
    yield f".base {{ stroke: {quiet}; }}"
    accent = _pair(palette.INPUT, dark=dark)[1]
    yield f".curve {{ stroke: {accent}; }}"
    yield f".dot {{ fill: {accent}; }}"
    for name, colour in (("first", _FIRST), ("second", _SECOND)):
        line = _pair(colour, dark=dark)[1]
        yield f".{name} .mark, .{name} .mean {{ stroke: {line}; }}"
        yield f".{name} .arrow {{ fill: {line}; }}"
        yield f".{name} .dot {{ fill: {line}; stroke: {line}; }}"
    for place, tint in enumerate(_TINTS):
        fill, line = _pair(tint, dark=dark)
        yield f".tint{place} {{ fill: {fill}; stroke: {line}; }}"


def _pair(colour: palette.Colour, *, dark: bool) -> tuple[str, str]:
    return (colour.dark_fill, colour.dark_line) if dark else (colour.fill, colour.line)

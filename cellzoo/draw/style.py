"""The style sheet of pictures: colours are set by class and follow the light or dark colour scheme."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from cellzoo.draw import palette

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cellzoo.draw.palette import Colour

ROOT = "cellzoo-cell"

# Literal colours, because viewers other than browsers do not support CSS variables.
_SHAPES = """\
font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
text { font-size: 13px; text-anchor: middle; }
.title { font-size: 17px; font-weight: 600; text-anchor: start; }
.note { font-size: 11.5px; text-anchor: start; }
.caption { font-size: 10px; }
.end { text-anchor: end; }
.role { font-size: 10px; text-anchor: start; }
.label { font-weight: 600; }
.sign { font-size: 17px; }
.box { stroke-width: 1.4; }
.frame { fill: none; stroke-width: 1; }
.edge path, .loop path { fill: none; stroke-width: 1.4; }
.edge.weight path { stroke-width: 4; }
.edge.highway path { stroke-width: 6; }
.edge path.lane { stroke-width: 2.4; }
.edge:hover path { stroke-width: 7; }
.edge:hover path.lane { stroke-width: 3; }
.loop path { stroke-width: 1.6; stroke-dasharray: 6 4; }
"""


@cache
def style() -> str:
    """The style sheet; all its rules are below the class `cellzoo-cell`."""
    first, *rules = _SHAPES.splitlines()
    shapes = [f".{ROOT} {{ {first} }}", *(_scoped(rule) for rule in rules)]
    light = [_scoped(rule) for rule in _colours(dark=False)]
    dark = [f"  {_scoped(rule)}" for rule in _colours(dark=True)]
    return "\n".join([*shapes, *light, "@media (prefers-color-scheme: dark) {", *dark, "}", ""])


def _scoped(rule: str) -> str:
    selectors, body = rule.split(" {", 1)
    return ", ".join(f".{ROOT} {selector}" for selector in selectors.split(", ")) + " {" + body


def _colours(*, dark: bool) -> Iterator[str]:
    ink, quiet = (palette.DARK_INK, palette.DARK_QUIET) if dark else (palette.INK, palette.QUIET)
    ground = palette.GROUND.dark_fill if dark else palette.GROUND.fill
    yield f"text {{ fill: {ink}; }}"
    yield f".note, .caption, .role {{ fill: {quiet}; }}"
    yield f".ground {{ fill: {ground}; }}"
    boxes = {
        "output": palette.OUTPUT,
        **palette.OPERATIONS,
        "input": palette.INPUT,
        **{f"state{index}": colour for index, colour in enumerate(palette.STATES)},
    }
    yield _box("box", palette.OTHER_OPERATION, dark=dark)
    for colour in dict.fromkeys(boxes.values()):
        names = [name for name, other in boxes.items() if other == colour]
        yield _box(", .".join(f"box.{name}" for name in names), colour, dark=dark)
        yield f"{', '.join(f'.frame.{name}' for name in names)} {{ stroke: {_line(colour, dark=dark)}; }}"
    edges = {
        "edge": palette.VALUE,
        "from-x": palette.INPUT,
        **{f"from{index}": colour for index, colour in enumerate(palette.STATES)},
    }
    for name, colour in edges.items():
        yield f".{name} path {{ stroke: {_line(colour, dark=dark)}; }}"
        yield f".{name} polygon {{ fill: {_line(colour, dark=dark)}; }}"
    yield f".edge path.lane {{ stroke: {ground}; }}"


def _box(name: str, colour: Colour, *, dark: bool) -> str:
    fill = colour.dark_fill if dark else colour.fill
    return f".{name} {{ fill: {fill}; stroke: {_line(colour, dark=dark)}; }}"


def _line(colour: Colour, *, dark: bool) -> str:
    return colour.dark_line if dark else colour.line

"""A cell as a Mermaid flowchart, for Markdown viewers that render Mermaid."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cellzoo.draw import palette
from cellzoo.draw.figure import HIGHWAY, INPUT_BOX, OPERATION, VALUE, Box, Edge, figure
from cellzoo.draw.shapes import BIAS, mark
from cellzoo.system.text import printable

if TYPE_CHECKING:
    from cellzoo.cells.graph import CellGraph
    from cellzoo.draw.palette import Colour

_CIRCLED = ("add", "multiply")
# Characters that Mermaid interprets in a label, as its own syntax or as Markdown.
_ENTITIES = {"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "`": "#96;", "_": "#95;", "*": "#42;"}


def mermaid(cell: CellGraph, level: str = "overview") -> str:
    """Write a cell as a Mermaid flowchart.

    Thick arrows are multiplied by a matrix (`p` marks the input of a highway, which is also carried unchanged),
    dotted lines connect a state with its next value.

    Args:
        cell: Any cell.
        level: `overview` or `full`, as in `cellzoo.draw.svg`.

    Raises:
        UnknownNameError: No such level.
    """
    drawn = figure(cell, level)
    identity = {box.key: f"n{place}" for place, box in enumerate(drawn.boxes)}
    title = json.dumps(printable(cell.name or "cell"), ensure_ascii=False)
    rows = ["---", f"title: {title}", "---", "flowchart LR"]
    rows += [f"  {identity[box.key]}{_shape(box)}" for box in drawn.boxes]
    for edge in drawn.edges:
        rows.append(f"  {identity[edge.source]} {_arrow(edge)} {identity[edge.target]}")
    for state in cell.states:
        after = f"{state.name}'"
        # From left to right and without an arrowhead: a backward arrow would move the state to the right.
        rows.append(f'  {identity[state.name]} -.-|"{after} becomes {_escaped(state.name)}"| {identity[after]}')
    classes: dict[str, list[str]] = {}
    for box in drawn.boxes:
        classes.setdefault(_class(box), []).append(identity[box.key])
    for name, members in classes.items():
        rows.append(f"  classDef {name} {_style(_colour(name))}")
        rows.append(f"  class {','.join(members)} {name}")
    return "\n".join(rows) + "\n"


def _shape(box: Box) -> str:
    words = [box.caption, f"{box.label} {BIAS}" if box.bias else box.label]
    label = "<br>".join(_escaped(part) for part in words if part)
    if box.kind != OPERATION:
        return f'(["{label}"])'
    if box.op in _CIRCLED:
        return f'(("{_escaped(box.label)}"))'
    return f'[["{label}"]]' if box.is_highway else f'["{label}"]'


def _arrow(edge: Edge) -> str:
    words = mark(edge) or ("p" if edge.kind == HIGHWAY else "")
    line = "-->" if edge.kind == VALUE else "==>"
    return f'{line}|"{_escaped(words)}"|' if words else line


def _escaped(text: str) -> str:
    return "".join(_ENTITIES.get(character, character) for character in printable(text))


def _class(box: Box) -> str:
    if box.kind == OPERATION:
        return f"op-{box.op}"
    if box.kind == INPUT_BOX:
        return "input"
    return "output" if box.state is None else f"state{box.state % len(palette.STATES)}"


def _colour(name: str) -> Colour:
    if name.startswith("op-"):
        return palette.OPERATIONS.get(name.removeprefix("op-"), palette.OTHER_OPERATION)
    if name.startswith("state"):
        return palette.state_colour(int(name.removeprefix("state")))
    return palette.INPUT if name == "input" else palette.OUTPUT


def _style(colour: Colour) -> str:
    # Mermaid cannot follow the colour scheme of the page; a light fill with dark text is legible on both.
    return f"fill:{colour.fill},stroke:{colour.line},color:{palette.INK}"

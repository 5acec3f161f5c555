"""A cell as SVG: inputs and states on the left, output and next states on the right, weights as thick edges."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, tostring

from cellzoo.cells.ops import RECAST
from cellzoo.draw.counts import parameter_formula
from cellzoo.draw.equations import text_lines
from cellzoo.draw.figure import HIGHWAY, INPUT_BOX, OPERATION, OUTCOME, STATE, VALUE, Box, Edge, Figure, figure
from cellzoo.draw.layers import BoxGraph
from cellzoo.draw.layout import Route, layout
from cellzoo.draw.legend import NOTE, draw_legend, legend_width
from cellzoo.draw.loops import LANE, draw_loop, loops_around, room
from cellzoo.draw.measure import text_width
from cellzoo.draw.palette import STATES
from cellzoo.draw.shapes import BIAS, FRAME, LABEL, PADDING, BoxShape, mark, shape_of
from cellzoo.draw.style import ROOT, style
from cellzoo.draw.svg_elements import arrow, number, path, text
from cellzoo.system.text import printable, shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellzoo.cells.graph import CellGraph

MARGIN = 20.0
TITLE_HEIGHT = 58.0
MIN_WIDTH = 460.0
TITLE, TITLE_LIMIT = 17, 64


def svg(cell: CellGraph, level: str = "overview", *, is_part: bool = False) -> str:
    """Draw a cell as an SVG document. The same cell gives the same text, on every machine.

    Args:
        cell: Any cell.
        level: `overview` draws nodes that belong together as one box; `full` draws each node.
        is_part: Whether it will be embedded in a page that has the style sheet `cellzoo.draw.style.style` and
            shows the cell's name; the picture then has neither.

    Raises:
        UnknownNameError: No such level.
    """
    drawn = figure(cell, level)
    return printable(tostring(_Picture(drawn).draw(is_part=is_part), encoding="unicode")) + "\n"


class _Picture:
    def __init__(self, drawn: Figure) -> None:
        self.figure = drawn
        self.index = {box.key: place for place, box in enumerate(drawn.boxes)}
        entering: dict[str, list[Edge]] = {box.key: [] for box in drawn.boxes}
        for edge in drawn.edges:
            entering[edge.target].append(edge)
        self.shapes = [shape_of(box, entering[box.key]) for box in drawn.boxes]
        ends = [(self.index[f"{state.name}'"], self.index[state.name]) for state in drawn.cell.states]
        self.layout = layout(self._graph(), ends)
        self.loops = loops_around(self.layout, ends, drawn.boxes)

    def _graph(self) -> BoxGraph:
        kinds = [box.kind for box in self.figure.boxes]
        return BoxGraph(
            tuple(shape.size for shape in self.shapes),
            frozenset(place for place, kind in enumerate(kinds) if kind in (INPUT_BOX, STATE)),
            frozenset(place for place, kind in enumerate(kinds) if kind == OUTCOME),
            tuple((self.index[edge.source], self.index[edge.target]) for edge in self.figure.edges),
        )

    def draw(self, *, is_part: bool) -> Element:
        name = shortened(self.figure.cell.name or "cell", TITLE_LIMIT)
        summary = self._summary()
        lanes = max(loop.lane for loop in self.loops)
        content = max(
            self.layout.size[0] + 2 * (lanes * LANE + 8),
            text_width(name, TITLE) * 1.1,
            text_width(summary, NOTE),
            legend_width(self.figure),
        )
        width = max(MIN_WIDTH, content + 2 * MARGIN)
        left = (width - self.layout.size[0]) / 2
        root = Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "class": ROOT, "role": "img"})
        root.set("aria-label", f"The recurrent cell {name}")
        if not is_part:
            SubElement(root, "style").text = style()
        ground = SubElement(root, "rect", {"class": "ground", "rx": "8"})
        if not is_part:
            text(root, MARGIN, 28, name, "title")
            text(root, MARGIN, 47, summary, "note")
        top = (MARGIN / 2 if is_part else TITLE_HEIGHT) + room(self.loops, above=True)
        bottom = top + self.layout.size[1] + room(self.loops, above=False)
        graph = SubElement(root, "g", {"transform": f"translate({number(left)} {number(top)})"})
        for loop in self.loops:
            draw_loop(graph, loop, self.layout.size)
        order = {VALUE: 0, HIGHWAY: 2}
        pairs = sorted(
            zip(self.figure.edges, self.layout.routes, strict=True), key=lambda pair: order.get(pair[0].kind, 1)
        )
        for edge, route in pairs:
            self._draw_edge(graph, edge, route)
        lines = text_lines(self.figure.cell)
        equations = {line.node: f"{line.left} = {line.right}" for line in lines if line.node}
        for place, box in enumerate(self.figure.boxes):
            self._draw_box(graph, box, self.shapes[place], self.layout.boxes[place], equations)
        for edge, route in pairs:
            self._draw_mark(graph, edge, route)
        bottom = draw_legend(root, self.figure, MARGIN, bottom + 22, width - 2 * MARGIN)
        for element in (root, ground):
            element.set("width", number(width))
            element.set("height", number(bottom + 14))
        root.set("viewBox", f"0 0 {number(width)} {number(bottom + 14)}")
        return root

    def _summary(self) -> str:
        cell = self.figure.cell
        boxes = sum(box.kind == OPERATION for box in self.figure.boxes)
        parts = [_counted(len(cell.states), "state"), _counted(len(cell.live_nodes), "node")]
        if boxes != len(cell.live_nodes):
            parts[-1] += f" in {_counted(boxes, 'box', 'boxes')}"
        sizes = "E inputs, H units"
        if any(node.op == RECAST for node in cell.live_nodes):
            sizes += ", E = H"
        parts.append(f"{parameter_formula(cell)} parameters ({sizes})")
        return " · ".join(parts)

    def _draw_edge(self, graph: Element, edge: Edge, route: Route) -> None:
        box = self.figure.boxes[self.index[edge.source]]
        origin = "from-x" if box.kind == INPUT_BOX else f"from{(box.state or 0) % len(STATES)}"
        classes = ["edge", edge.kind, *([origin] if box.kind in (INPUT_BOX, STATE) else [])]
        group = SubElement(graph, "g", {"class": " ".join(classes)})
        group.set("data-source", edge.source)
        group.set("data-target", edge.target)
        group.set("data-kind", edge.kind)
        SubElement(group, "title").text = self._edge_text(edge)
        size = 7 if edge.kind == VALUE else 10
        line = _curve(route.points, size)
        path(group, line)
        if edge.kind == HIGHWAY:
            path(group, line, "lane")
        arrow(group, *route.points[-1], size)

    def _edge_text(self, edge: Edge) -> str:
        names = self.figure.names
        text = f"{names.get(edge.source, edge.source)} → {names.get(edge.target, edge.target)}"
        through = f" through {' and '.join(edge.weights)}" if edge.weights else ""
        return text + through + (" and past them" if edge.kind == HIGHWAY else "")

    def _draw_box(
        self,
        graph: Element,
        box: Box,
        shape: BoxShape,
        place: tuple[float, float, float, float],
        equations: dict[str, str],
    ) -> None:
        left, top, width, height = place
        group = SubElement(graph, "g", {"class": "node"})
        group.set("data-key", box.key)
        if box.nodes:
            group.set("data-nodes", " ".join(box.nodes))
        lines = [equations[name] for name in box.nodes if name in equations]
        SubElement(group, "title").text = "\n".join(lines) or " ".join(
            part for part in (box.caption, box.label) if part
        )
        kind = _colour_class(box)
        radius = {"rectangle": 7.0}.get(shape.form, min(width, height) / 2)
        _rectangle(group, place, radius, f"box {kind}")
        if box.is_highway:
            inner = (left + FRAME, top + FRAME, width - 2 * FRAME, height - 2 * FRAME)
            _rectangle(group, inner, radius - FRAME, f"frame {kind}")
        middle = left + width / 2 + shape.marks / 2
        centre = top + height / 2
        if shape.form in ("circle", "pill") and box.kind == OPERATION:
            text(group, middle, centre + 6, shape.label, "sign")
        elif shape.caption or box.bias:
            if shape.caption:
                text(group, middle - (8 if box.bias else 0), centre - 5, shape.caption, "caption")
            if box.bias:
                text(group, left + width - 6, centre - 5, BIAS, "caption end")
            text(group, middle, centre + 11, shape.label, "label")
        else:
            text(group, middle, centre + LABEL * 0.35, shape.label, "label")

    def _draw_mark(self, graph: Element, edge: Edge, route: Route) -> None:
        words = mark(edge)
        if words:
            x, y = route.points[-1]
            text(graph, x + PADDING / 2 + 1, y + 3.5, words, "role")


def _colour_class(box: Box) -> str:
    if box.kind == OPERATION:
        return box.op
    if box.kind == INPUT_BOX:
        return "input"
    return "output" if box.state is None else f"state{box.state % len(STATES)}"


def _curve(points: Sequence[tuple[float, float]], arrow_size: float) -> str:
    """Flat through columns, and between them a curve that starts and ends flat."""
    parts = [f"M{number(points[0][0])} {number(points[0][1])}"]
    for index in range(1, len(points)):
        (x0, y0), (x1, y1) = points[index - 1], points[index]
        if index == len(points) - 1:
            x1 -= arrow_size - 1
        if index % 2 or y0 == y1:
            if x1 != x0:
                parts.append(f"H{number(x1)}")
        else:
            half = (x0 + x1) / 2
            parts.append(f"C{number(half)} {number(y0)} {number(half)} {number(y1)} {number(x1)} {number(y1)}")
    return "".join(parts)


def _rectangle(parent: Element, place: tuple[float, float, float, float], radius: float, kind: str) -> None:
    left, top, width, height = place
    SubElement(
        parent,
        "rect",
        {
            "class": kind,
            "x": number(left),
            "y": number(top),
            "width": number(width),
            "height": number(height),
            "rx": number(radius),
        },
    )


def _counted(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"

"""A layered layout: columns from left to right, few crossings, short edges, smooth routes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellzoo.draw.layers import BoxGraph, LayerColumns, into_columns
from cellzoo.draw.order import Orders, ordered
from cellzoo.draw.place import heights
from cellzoo.draw.straighten import straightened

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

GAP, MAX_GAP = 44.0, 130.0
# Horizontal segment before a box, for the arrowhead.
LEAD = 10.0
PORT_ROOM = 14.0
_GAP_FOR_EDGE, _GAP_FOR_RISE = 2.0, 0.3
_QUICK_SWEEPS = 6


@dataclass(frozen=True)
class Route:
    """The course of an edge: horizontal within columns, curved in the gaps between them.

    Attributes:
        points: (x, y) in order. Points 2k and 2k + 1 are the ends of a horizontal segment; a curve with
            horizontal tangents connects it with the next one.
    """

    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Placement:
    """The coordinates of the drawing. The top left corner is (0, 0).

    Attributes:
        boxes: (left, top, width, height) of each box.
        routes: The route of each edge, from the right side of its source to the left side of its target.
        size: Width and height of the whole.
    """

    boxes: tuple[tuple[float, float, float, float], ...]
    routes: tuple[Route, ...]
    size: tuple[float, float]


def layout(graph: BoxGraph, loops: Sequence[tuple[int, int]] = ()) -> Placement:
    """Place boxes and route edges.

    Args:
        graph: The boxes and edges.
        loops: Pairs (box of the last column, box of the first) that will be connected around the picture.
    """
    columns = into_columns(graph)
    extents = [height for _, height in graph.sizes]
    extents += [0.0] * (len(columns.column) - len(extents))

    def length(orders: Orders) -> float:
        ports = _Ports(graph, columns, orders)
        y = heights(columns, orders, extents, ports.offset, _QUICK_SWEEPS)
        total = sum(
            abs(y[start] - y[end] - ports.offset(start, end))
            for start, ends in enumerate(columns.after)
            for end in ends
        )
        return round(total, 3)

    orders = ordered(columns, length, loops)
    ports = _Ports(graph, columns, orders)
    y = heights(columns, orders, extents, ports.offset)
    y = straightened(columns, orders, extents, ports.offset, y)
    return _drawn(graph, columns, y, ports)


class _Ports:
    """The points at which edges enter boxes: on the left side, in the vertical order of their origins."""

    def __init__(self, graph: BoxGraph, columns: LayerColumns, orders: Orders) -> None:
        place = [0] * len(columns.column)
        for order in orders:
            for index, point in enumerate(order):
                place[point] = index
        entering: dict[int, list[int]] = {}
        for edge, route in enumerate(columns.routes):
            entering.setdefault(route[-1], []).append(edge)
        self.edges: list[float] = [0.0] * len(columns.routes)
        self.steps: dict[tuple[int, int], float] = {}
        for box, edges in entering.items():
            edges.sort(key=lambda edge: (place[columns.routes[edge][-2]], edge))
            height = graph.sizes[box][1]
            room = min(PORT_ROOM, (height - 8) / max(1, len(edges)))
            for index, edge in enumerate(edges):
                self.edges[edge] = (index - (len(edges) - 1) / 2) * room
            for edge in edges:
                step = (columns.routes[edge][-2], box)
                same = [self.edges[other] for other in edges if columns.routes[other][-2] == step[0]]
                self.steps[step] = sum(same) / len(same)

    def offset(self, start: int, end: int) -> float:
        """Where the step from `start` enters `end`, relative to the middle of `end`."""
        return self.steps.get((start, end), 0.0)


def _drawn(graph: BoxGraph, columns: LayerColumns, y: Sequence[float], ports: _Ports) -> Placement:
    lefts, widths = _across(graph, columns, y, ports.offset)
    top = min(y[box] - height / 2 for box, (_, height) in enumerate(graph.sizes))
    bottom = max(y[box] + height / 2 for box, (_, height) in enumerate(graph.sizes))
    bends = range(columns.bends_from, len(y))
    top = min([top, *(y[bend] for bend in bends)])
    bottom = max([bottom, *(y[bend] for bend in bends)])
    boxes = []
    for box, (width, height) in enumerate(graph.sizes):
        place = columns.column[box]
        left = lefts[place] + (widths[place] - width) / 2
        boxes.append((_rounded(left), _rounded(y[box] - height / 2 - top), width, height))
    routes = []
    for edge, route in enumerate(columns.routes):
        source, target = boxes[route[0]], boxes[route[-1]]
        start, end = columns.column[route[0]], columns.column[route[-1]]
        middle = source[1] + source[3] / 2
        points = [(source[0] + source[2], middle), (lefts[start] + widths[start], middle)]
        for bend in route[1:-1]:
            place = columns.column[bend]
            height = _rounded(y[bend] - top)
            points += [(lefts[place], height), (lefts[place] + widths[place], height)]
        port = target[1] + target[3] / 2 + ports.edges[edge]
        points += [(lefts[end] - LEAD, port), (target[0], port)]
        routes.append(Route(tuple((_rounded(across), _rounded(down)) for across, down in points)))
    size = (_rounded(lefts[-1] + widths[-1]), _rounded(bottom - top))
    return Placement(tuple(boxes), tuple(routes), size)


def _across(
    graph: BoxGraph, columns: LayerColumns, y: Sequence[float], port: Callable[[int, int], float]
) -> tuple[list[float], list[float]]:
    """Left side and width of each column; gaps are wider where edges are more numerous or steeper."""
    widths = [
        max([graph.sizes[point][0] for point in column if point < columns.bends_from], default=0.0)
        for column in columns.columns
    ]
    lefts = [0.0]
    for index, column in enumerate(columns.columns[:-1]):
        rises = [abs(y[point] - y[end] - port(point, end)) for point in column for end in columns.after[point]]
        bent = sum(rise > 2 for rise in rises)
        gap = GAP + _GAP_FOR_EDGE * bent + _GAP_FOR_RISE * max(rises, default=0.0)
        lefts.append(_rounded(lefts[-1] + widths[index] + min(gap, MAX_GAP)))
    return lefts, widths


def _rounded(value: float) -> float:
    """Round to a tenth of a pixel, which makes the output independent of rounding errors."""
    return round(value, 1) + 0.0

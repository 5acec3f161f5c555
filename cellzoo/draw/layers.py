"""The first step of layered graph drawing (Sugiyama et al. 1981): assign boxes to columns, split long edges."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_BALANCE_ROUNDS = 20


@dataclass(frozen=True)
class BoxGraph:
    """The graph to lay out: numbered boxes, and edges between them.

    Attributes:
        sizes: Width and height of each box.
        first: Boxes of the first column.
        last: Boxes of the last column, which no edge leaves.
        edges: (source, target) of each edge; there is no cycle.
    """

    sizes: tuple[tuple[float, float], ...]
    first: frozenset[int]
    last: frozenset[int]
    edges: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class LayerColumns:
    """Boxes in columns, with a dummy point (a bend) in each column that an edge passes.

    Attributes:
        columns: Column -> its points. Points below `bends_from` are boxes, the others bends.
        column: Point -> column.
        bends_from: Number of boxes.
        before: Point -> its neighbours in the previous column.
        after: Point -> its neighbours in the next column.
        routes: Edge -> its points, both ends included. Edges from the same source share bends.
    """

    columns: tuple[tuple[int, ...], ...]
    column: tuple[int, ...]
    bends_from: int
    before: tuple[tuple[int, ...], ...]
    after: tuple[tuple[int, ...], ...]
    routes: tuple[tuple[int, ...], ...]


def into_columns(graph: BoxGraph) -> LayerColumns:
    """Assign each box to a column after all that it reads, and bends to the columns that an edge passes."""
    column = _balanced(graph, _earliest(graph))
    count = len(graph.sizes)
    targets: dict[int, list[int]] = {}
    for source, target in graph.edges:
        targets.setdefault(source, []).append(target)
    bends: dict[tuple[int, int], int] = {}
    for source, found in targets.items():
        for place in range(column[source] + 1, max(column[target] for target in found)):
            bends[source, place] = len(column)
            column.append(place)
    routes = tuple(
        (
            source,
            *(bends[source, place] for place in range(column[source] + 1, column[target])),
            target,
        )
        for source, target in graph.edges
    )
    before: list[list[int]] = [[] for _ in column]
    after: list[list[int]] = [[] for _ in column]
    for start, end in dict.fromkeys(step for route in routes for step in pairwise(route)):
        before[end].append(start)
        after[start].append(end)
    columns: list[list[int]] = [[] for _ in range(max(column) + 1)]
    for point, place in enumerate(column):
        columns[place].append(point)
    return LayerColumns(
        tuple(map(tuple, columns)),
        tuple(column),
        count,
        tuple(map(tuple, before)),
        tuple(map(tuple, after)),
        routes,
    )


def _earliest(graph: BoxGraph) -> list[int]:
    """The first column after all that a box reads; the boxes in `last` come after all others."""
    column = [0] * len(graph.sizes)
    for source, target in _in_order(graph):
        column[target] = max(column[target], column[source] + 1)
    end = max(1, *(place + (box not in graph.last) for box, place in enumerate(column)))
    for box in graph.last:
        column[box] = end
    return column


def _in_order(graph: BoxGraph) -> list[tuple[int, int]]:
    """The edges in topological order."""
    waiting = [0] * len(graph.sizes)
    leaving: list[list[int]] = [[] for _ in graph.sizes]
    for source, target in graph.edges:
        waiting[target] += 1
        leaving[source].append(target)
    ready = [box for box, count in enumerate(waiting) if not count]
    ordered = []
    for box in ready:
        for target in leaving[box]:
            ordered.append((box, target))
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    return ordered


def _balanced(graph: BoxGraph, column: Sequence[int]) -> list[int]:
    """Move boxes that have slack towards the side with more of their edges."""
    column = list(column)
    reads: list[list[int]] = [[] for _ in column]
    read_by: list[list[int]] = [[] for _ in column]
    for source, target in graph.edges:
        reads[target].append(source)
        read_by[source].append(target)
    free = [box for box in range(len(column)) if box not in graph.first and box not in graph.last]
    for _ in range(MAX_BALANCE_ROUNDS):
        is_moved = False
        for box in reversed(free):
            pull = len(read_by[box]) - len(reads[box])
            if pull > 0:
                place = min(column[target] for target in read_by[box]) - 1
            elif pull < 0:
                place = max(column[source] for source in reads[box]) + 1
            else:
                continue
            is_moved = is_moved or place != column[box]
            column[box] = place
        if not is_moved:
            break
    return column

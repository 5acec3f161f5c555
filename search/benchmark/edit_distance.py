"""Bounds of the graph edit distance of two cells.

Graphs have a node for x, for each state and for each node, with the operation as label, and an edge for each
input that a node reads. Inserting, deleting or relabelling a node, and inserting or deleting an edge, cost 1
each, as in calculate_ged.py of fmsnew/nas-bench-nlp-release. The exact distance takes exponential time, these
bounds microseconds.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from cellzoo.cells.cell import Cell

_FAR = 1e6


@dataclass(frozen=True)
class LabelledGraph:
    """A directed graph with labels.

    Attributes:
        labels: Of the nodes, by number.
        edges: Pairs of numbers.
    """

    labels: tuple[str, ...]
    edges: frozenset[tuple[int, int]]


def labelled_graph(cell: Cell) -> LabelledGraph:
    """The graph of a cell; all states have the same label."""
    names = ["x", *(state.name for state in cell.states), *(node.name for node in cell.nodes)]
    number = {name: place for place, name in enumerate(names)}
    labels = ("x", *("state" for _ in cell.states), *(node.op for node in cell.nodes))
    edges = {(number[source], number[node.name]) for node in cell.nodes for source in node.inputs}
    return LabelledGraph(labels, frozenset(edges))


def lower_bound(first: LabelledGraph, second: LabelledGraph) -> int:
    """A lower bound: nodes whose labels have no counterpart, and the difference in the number of edges."""
    shared = sum((Counter(first.labels) & Counter(second.labels)).values())
    nodes = max(len(first.labels), len(second.labels)) - shared
    return nodes + abs(len(first.edges) - len(second.edges))


def upper_bound(first: LabelledGraph, second: LabelledGraph) -> int:
    """An upper bound: the cost of matching nodes by label and degrees (Riesen & Bunke 2009)."""
    from scipy.optimize import linear_sum_assignment

    n, m = len(first.labels), len(second.labels)
    degrees = [_degrees(one) for one in (first, second)]
    cost = np.zeros((n + m, n + m))
    for i in range(n):
        for j in range(m):
            apart = np.abs(degrees[0][i] - degrees[1][j]).sum() / 2
            cost[i, j] = (first.labels[i] != second.labels[j]) + apart
    cost[:n, m:] = _FAR
    cost[n:, :m] = _FAR
    for i in range(n):
        cost[i, m + i] = 1 + degrees[0][i].sum() / 2
    for j in range(m):
        cost[n + j, j] = 1 + degrees[1][j].sum() / 2
    rows, columns = linear_sum_assignment(cost)
    matched = {int(i): int(j) for i, j in zip(rows, columns, strict=True) if i < n and j < m}
    return edit_cost(first, second, matched)


def edit_cost(first: LabelledGraph, second: LabelledGraph, matched: dict[int, int]) -> int:
    """The cost of editing one graph into the other if these nodes are matched; never below the distance."""
    nodes = sum(first.labels[i] != second.labels[j] for i, j in matched.items())
    nodes += len(first.labels) + len(second.labels) - 2 * len(matched)
    kept = sum(
        source in matched and target in matched and (matched[source], matched[target]) in second.edges
        for source, target in first.edges
    )
    return nodes + len(first.edges) + len(second.edges) - 2 * kept


def _degrees(graph: LabelledGraph) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Edges into and out of each node, (nodes, 2)."""
    found = np.zeros((len(graph.labels), 2))
    for source, target in graph.edges:
        found[target, 0] += 1
        found[source, 1] += 1
    return found

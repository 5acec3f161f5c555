"""Analysis of a cell's recurrence: which states can be computed for all steps in parallel.

States that depend on each other form a strongly connected component of the graph. Components are processed in
topological order, so the values that a component reads from outside are known at every step.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import TYPE_CHECKING

from cellzoo.cells.ops import LINEAR, PRIMITIVES
from cellzoo.runtime.graph import COPY, cell_graph

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellzoo.cells.cell import Cell
    from cellzoo.runtime.graph import Graph, Value

_SUMS = frozenset({"add", "subtract", "mean", COPY})


class Kind(Enum):
    """How the next value of a state depends on the state, given the values from outside its component."""

    DELAYED = "known at once"
    """Not at all: all steps are computed at once, and then shifted by one step."""
    AFFINE = "affine"
    """a * h + b, elementwise, with a and b known: a parallel scan."""
    ELEMENTWISE = "elementwise"
    """By any elementwise function: step by step, but without matrix products."""
    MATRIX = "by a product"
    """Through a matrix product: step by step, with a product at each."""


@dataclass(frozen=True)
class Component:
    """A strongly connected component of states, most often a single state.

    Attributes:
        kind: How they depend on themselves.
        states: In the cell's order.
        loop: The values on the paths from the states to their next values, in topological order.
        reads: Names of the values from outside that the loop reads.
    """

    kind: Kind
    states: tuple[str, ...]
    loop: tuple[Value, ...]
    reads: frozenset[str]


def components(graph: Graph) -> tuple[Component, ...]:
    """The components of a graph, in topological order."""
    nexts = dict(zip(graph.states, graph.nexts, strict=True))
    reads = {state: frozenset({state}) for state in graph.states}
    for value in graph.values:
        reads[value.name] = frozenset().union(*(reads.get(source, ()) for source in value.sources))
    behind = {state: set(reads[name]) for state, name in nexts.items()}
    for middle in behind:
        for found in behind.values():
            if middle in found:
                found |= behind[middle]
    groups = {
        tuple(
            other for other in behind if other == state or (other in behind[state] and state in behind[other])
        )
        for state in behind
    }
    result = []
    # Topological order: a component depends on more states than each of the components that it reads.
    for states in sorted(groups, key=lambda states: (len(behind[states[0]].union(states)), states)):
        wanted = {nexts[state] for state in states}
        for value in reversed(graph.values):
            if value.name in wanted:
                wanted.update(value.sources)
        loop = tuple(
            value for value in graph.values if value.name in wanted and reads[value.name].intersection(states)
        )
        outside = {source for value in loop for source in value.sources}
        outside -= {*states, *(value.name for value in loop)}
        result.append(Component(_kind(states, loop, nexts), states, loop, frozenset(outside)))
    return tuple(result)


def can_scan(cell: Cell) -> bool:
    """Whether every state is delayed or affine. Masks do not matter: they act on factors of products only."""
    return all(component.kind in (Kind.DELAYED, Kind.AFFINE) for component in components(cell_graph(cell)))


def describe(cell: Cell) -> str:
    """Describe in words whether a cell can be run by scans, and the kind of each of its states."""
    found = components(cell_graph(cell))
    kinds = {component.kind for component in found}
    verdict = "a scan"
    if Kind.MATRIX in kinds:
        verdict = "products at every step"
    elif Kind.ELEMENTWISE in kinds:
        verdict = "no product at a step"
    states = (f"{' and '.join(component.states)} {component.kind.value}" for component in found)
    return f"{verdict}: {'; '.join(states)}"


def _kind(states: tuple[str, ...], loop: Sequence[Value], nexts: dict[str, str]) -> Kind:
    if not loop:
        return Kind.DELAYED
    if any(value.op != COPY and (value.op == LINEAR or value.op not in PRIMITIVES) for value in loop):
        return Kind.MATRIX
    if len(states) > 1:
        return Kind.ELEMENTWISE
    degrees = {states[0]: 1.0}
    for value in loop:
        degrees[value.name] = _degree(value, [degrees.get(source, 0.0) for source in value.inputs])
    return Kind.AFFINE if degrees[nexts[states[0]]] <= 1 else Kind.ELEMENTWISE


def _degree(value: Value, degrees: list[float]) -> float:
    """Upper bound of a value's degree as a polynomial of the state; infinite if it may not be a polynomial."""
    if value.op in _SUMS:
        return max(degrees)
    if value.op == "multiply":
        return sum(degrees)
    if value.op == "divide" and not degrees[1]:
        return degrees[0]
    if value.op == "blend":
        return degrees[0] + max(degrees[1:])
    return inf if any(degrees) else 0.0

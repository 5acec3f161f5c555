"""What a cell's states do from step to step, proved from its graph: which of them all steps give at once.

A state may be read by another one's next value. States that depend on each other form a strongly connected
component; in topological order, each component finds all that it reads from outside known at every step.
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
    """What the next value of a state is made of, where what it reads from outside is known at every step."""

    DELAYED = "known at once"
    """It does not depend on the state: all steps at once, and then each goes to the next one."""
    AFFINE = "affine"
    """a * h + b, unit by unit, with a and b known: an associative scan."""
    ELEMENTWISE = "elementwise"
    """Any function of each unit alone: a walk without a product."""
    MATRIX = "by a product"
    """Units meet in a product, so that nothing but the walk with its product gives it."""


@dataclass(frozen=True)
class Component:
    """States that depend on each other, a strongly connected component: most often a single one.

    Attributes:
        kind: What they do.
        states: In the cell's order.
        loop: The values that lead from them to their next values, in topological order.
        reads: Names of what the loop reads from outside.
    """

    kind: Kind
    states: tuple[str, ...]
    loop: tuple[Value, ...]
    reads: frozenset[str]


def components(graph: Graph) -> tuple[Component, ...]:
    """Give the components of a graph, each after those that it reads."""
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
    # What a component reads has fewer states behind it than the component itself.
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
    """Whether every state is known at once or affine; masks change nothing, as they act on products alone."""
    return all(component.kind in (Kind.DELAYED, Kind.AFFINE) for component in components(cell_graph(cell)))


def describe(cell: Cell) -> str:
    """For people: whether the cell is a scan, and what each of its states is."""
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
    """The degree of a value as a polynomial of the state, at most; infinite where it may be none."""
    if value.op in _SUMS:
        return max(degrees)
    if value.op == "multiply":
        return sum(degrees)
    if value.op == "divide" and not degrees[1]:
        return degrees[0]
    if value.op == "blend":
        return degrees[0] + max(degrees[1:])
    return inf if any(degrees) else 0.0

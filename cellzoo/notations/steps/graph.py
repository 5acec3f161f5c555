"""Cells made of steps, as a graph.

State 0 is computed from x and h; each further state is a step that combines edges from earlier states:

    s_0 = highway(h; W_0 [x, h], start)
    s_i = mean or sum of highway(s_p; W_i s_p, op) over the edges (op, p) of step i
    h'  = mean of the states in concat

    highway(p; [c, u], op) = p + sigmoid(c) * (op(u) - p)        without highway: op(u)

W_i belongs to the step, and all edges into the step share it. Liu et al. 2019, "DARTS", section 2.3 and
appendix A.1; where the paper is ambiguous, rnn/model.py and rnn/model_search.py of quark0/darts decide. No
biases. Dropout masks act on x, h and s_p where a matrix multiplies them, never on the carried value.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cellzoo.cells.cell import Cell
from cellzoo.cells.graph import INPUT, Node, State, linear

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

OPERATIONS = ("tanh", "relu", "sigmoid", "identity")
# In some published cells, but not part of the space of searches and random draws.
MORE_OPERATIONS = ("selu",)
# The operation whose result is always 0.
NONE = "none"

MEAN, SUM = "mean", "sum"

Edge = tuple[str, int]


@dataclass(frozen=True)
class Steps:
    """A cell made of steps.

    Attributes:
        edges: The distinct edges (operation, predecessor) of each step; a step without edges is 0.
        concat: The states whose mean is the output.
        start: The operation of state 0.
        combine: How the edges of a step are combined: `mean` or `sum`.
        highway: Whether edges have highway gates.
    """

    edges: tuple[tuple[Edge, ...], ...]
    concat: tuple[int, ...]
    start: str = "tanh"
    combine: str = MEAN
    highway: bool = True

    @property
    def has_joints(self) -> bool:
        """Whether a step has several edges."""
        return any(len(edges) > 1 for edges in self.edges)


def to_cell(steps: Steps, name: str = "") -> Cell:
    """Build the graph: one state, h.

    Raises:
        CellError: It is too large, or does not depend on x.
    """
    return Cell((State("h", "h_next"),), tuple(step_nodes(steps)), "h_next", name=name)


def step_nodes(steps: Steps, x: str = INPUT, h: str = "h") -> list[Node]:
    """Build the nodes; the last one, `h_next`, is the output.

    Args:
        steps: The cell.
        x: The value to use as the input.
        h: The value to use as the previous state.
    """
    nodes = _Source("0", (x, h), h).nodes([(steps.start, "s0")], highway=steps.highway)
    for step, edges in enumerate(steps.edges, start=1):
        nodes += _joined(step, edges, steps)
    nodes.append(Node("h_next", "mean", tuple(f"s{index}" for index in steps.concat)))
    return nodes


def ordered(edges: Iterable[Edge]) -> tuple[Edge, ...]:
    """Sort the edges of a step by predecessor, then by operation."""
    order = (*OPERATIONS, *MORE_OPERATIONS)
    return tuple(sorted(edges, key=lambda edge: (edge[1], order.index(edge[0]))))


def _joined(step: int, edges: Sequence[Edge], steps: Steps) -> list[Node]:
    """Build one step, named s1, s2, ..."""
    name = f"s{step}"
    if not edges:
        return [Node(name, "zero")]
    operations: dict[int, list[str]] = defaultdict(list)
    for op, predecessor in edges:
        operations[predecessor].append(op)
    nodes: list[Node] = []
    results: list[str] = []
    for predecessor, ops in operations.items():
        carry = f"s{predecessor}"
        source = _Source(str(step), (carry,), carry)
        if len(operations) > 1:
            source = _Source(f"{step}_{predecessor}", (carry,), carry, shared=str(step))
        named = [(op, name if len(edges) == 1 else f"edge{step}_{predecessor}_{op}") for op in ops]
        nodes += source.nodes(named, highway=steps.highway)
        results += [result for _, result in named]
    if len(edges) > 1:
        nodes.append(Node(name, "add" if steps.combine == SUM else "mean", tuple(results)))
    return nodes


@dataclass(frozen=True)
class _Source:
    """Builds the edges from one source into one step, which share their products.

    Attributes:
        key: Suffix of the nodes' names.
        sources: The values that the products read.
        carry: The value that the highway gate carries.
        shared: Suffix of the weights' names if several sources share the weights; else None.
    """

    key: str
    sources: tuple[str, ...]
    carry: str
    shared: str | None = None

    def nodes(self, edges: Sequence[tuple[str, str]], *, highway: bool) -> list[Node]:
        """Build the edges (operation, name of the result)."""
        key, nodes = self.key, []
        if highway:
            nodes.append(self._product("c"))
        if any(op != NONE for op, _ in edges):
            nodes.append(self._product("u"))
        if not highway:
            return nodes + [Node(result, op, (f"u{key}",)) for op, result in edges]
        nodes.append(Node(f"gate{key}", "sigmoid", (f"c{key}",)))
        for op, result in edges:
            candidate = f"cand{key}" if len(edges) == 1 else f"cand{key}_{op}"
            is_zero = op == NONE
            nodes.append(Node(candidate, "zero") if is_zero else Node(candidate, op, (f"u{key}",)))
            nodes.append(Node(result, "blend", (f"gate{key}", candidate, self.carry)))
        return nodes

    def _product(self, kind: str) -> Node:
        own = linear(f"{kind}{self.key}", *self.sources, bias=False)
        return own if self.shared is None else replace(own, weights=(f"{kind}{self.shared}",))

"""A supernet as a graph, from which plans are made.

The shares of an edge are parameters of the plan, so one plan can be used for all mixtures:

    sum over k of p_k (s + g (f_k(u) - s)) = blend(g, sum over k of p_k f_k(u), P s),   P = sum over k of p_k
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellzoo.cells.graph import HIDDEN_WIDTH, INPUT
from cellzoo.runtime.graph import MASK_OF_HIDDEN, MASK_OF_X, NORM, Graph, GraphBuilder, Value
from search.supernets.gate_graph import STATE, Gated, GateWriter, gate_states, input_width
from search.supernets.terms import add_mixture, slots

if TYPE_CHECKING:
    from search.supernets.layout import Layout
    from search.supernets.terms import Term

SHIFT, SCALE = "shift", "scale"


@dataclass(frozen=True)
class GraphOutline:
    """The properties that determine a graph.

    Attributes:
        layout: The supernet.
        terms: The terms that are computed, in the order of nodes.
        normalisation: `batch`, `running` with given statistics, or `none`.
        masked_x: Whether x is masked in matrix products.
        masked_h: Whether states are masked in matrix products.
    """

    layout: Layout
    terms: tuple[Term, ...]
    normalisation: str
    masked_x: bool
    masked_h: bool


def supernet_graph(outline: GraphOutline) -> Graph:
    """Build the graph of a supernet; weights of the cell are named `<term's weight>.c` and `.u`.

    The parameters are those of all terms, then those of both gates, with one past step like one term.
    """
    layout = outline.layout
    builder = GraphBuilder(input_width(layout), {STATE: HIDDEN_WIDTH, **gate_states(layout)})
    writer = _Writer(builder, outline)
    gates = GateWriter(
        builder,
        layout,
        first_parameter=writer.stride * len(outline.terms),
        mask_x=writer.mask_x,
        mask_h=writer.mask_h,
    )
    states = [writer.start(gates.write() if layout.delay else Gated(INPUT, STATE))]
    for node in range(1, layout.nodes + 1):
        states.append(writer.node(node, states))
    output = writer.add("output", "mean", *states[1:])
    return builder.finish(output, [output, *gates.nexts(output)], gates.first_parameter + gates.num_parameters)


def state_number(name: str) -> int:
    """The number of a state, 0 or a node's, from its name in the graph."""
    return int(name.removeprefix("s"))


class _Writer:
    def __init__(self, builder: GraphBuilder, outline: GraphOutline) -> None:
        self.builder = builder
        self.outline = outline
        self.mask_x = MASK_OF_X if outline.masked_x else None
        self.mask_h = MASK_OF_HIDDEN if outline.masked_h else None
        self.slots = slots(outline.layout.operations)
        # Number of parameters of one term.
        self.stride = len(self.slots) + 1
        # States that are the same in all rows, independent of x and h.
        self.constant: set[str] = set()

    def add(self, name: str, op: str, *inputs: str, immediate: int = 0) -> str:
        """Add an elementwise value of the hidden width."""
        return self.builder.add(Value(name, op, HIDDEN_WIDTH, inputs, immediate=immediate))

    def start(self, read: Gated) -> str:
        """State 0."""
        candidate = self.add("cand0", "tanh", self._first_product("u0", read))
        if not self.outline.layout.highway:
            return self._normalised("s0", candidate)
        gate = self.add("gate0", "sigmoid", self._first_product("c0", read))
        return self._normalised("s0", self.add("start", "blend", gate, candidate, read.h))

    def node(self, node: int, states: list[str]) -> str:
        """State `node`, computed from earlier states.

        If all states that it reads are the same in all rows, so is this one, and batch normalisation makes it
        0.
        """
        terms = [(index, term) for index, term in enumerate(self.outline.terms) if term.node == node]
        is_constant = all(states[term.source] in self.constant for _, term in terms)
        if not terms or (is_constant and self.outline.normalisation == "batch"):
            self.constant.add(f"s{node}")
            return self.add(f"s{node}", "zero")
        shares = [self._term(index, term, states[term.source]) for index, term in terms]
        total = self.add(f"sum{node}", "add", *shares) if len(shares) > 1 else shares[0]
        return self._normalised(f"s{node}", total)

    def _term(self, index: int, term: Term, state: str) -> str:
        first = index * self.stride
        product = self._product(f"u{index}e", term, "u", state)
        operations = [op for op, _ in term.operations]
        mixed = add_mixture(self.builder, f"mixed{index}", product, operations, self.slots, first)
        if not self.outline.layout.highway:
            return mixed
        gate = self.add(f"gate{index}e", "sigmoid", self._product(f"c{index}e", term, "c", state))
        passed = self.add(f"passed{index}", "parameter_scale", state, immediate=first + len(self.slots))
        return self.add(f"term{index}", "blend", gate, mixed, passed)

    def _first_product(self, name: str, read: Gated) -> str:
        sources = [(read.x, f"{name}_x", self.mask_x), (read.h, f"{name}_h", self.mask_h)]
        return self.builder.linear(name, HIDDEN_WIDTH, sources, None)

    def _product(self, name: str, term: Term, half: str, state: str) -> str:
        return self.builder.linear(name, HIDDEN_WIDTH, [(state, f"{term.weight}.{half}", self.mask_h)], None)

    def _normalised(self, name: str, value: str) -> str:
        kind = self.outline.normalisation
        if kind == "batch":
            return self.add(name, NORM, value)
        if kind == "none":
            return value
        scale, shift = (
            self.builder.add(Value(f"{name}.{part}", "vector", HIDDEN_WIDTH, weights=(part,)))
            for part in (SCALE, SHIFT)
        )
        return self.add(name, "add", self.add(f"{name}.scaled", "multiply", value, scale), shift)

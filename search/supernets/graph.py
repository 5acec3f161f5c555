"""A supernet as the graph that plans are made from.

The mixture on an edge is one instruction, and its shares are numbers that the plan reads, so one plan serves
all mixtures:

    sum over k of p_k (s + g (f_k(u) - s)) = blend(g, sum over k of p_k f_k(u), P s),   P = sum over k of p_k
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellzoo.cells.graph import HIDDEN_WIDTH, INPUT
from cellzoo.runtime.graph import MASK_OF_HIDDEN, MASK_OF_X, NORM, Graph, GraphBuilder, Value
from search.supernets.gate_graph import STATE, Gated, GateWriter, gate_states, input_width

if TYPE_CHECKING:
    from search.supernets.layout import Layout

# In the order of the mixture instruction.
MIXED = ("tanh", "relu", "sigmoid", "identity")
# Four shares, and their sum.
PARAMETERS_OF_A_TERM = len(MIXED) + 1
SHIFT, SCALE = "shift", "scale"


@dataclass(frozen=True)
class Term:
    """One product on one edge, and the operations that follow from it.

    Attributes:
        node: That it leads to, from 1.
        source: State that it reads.
        weight: Name of its weight.
        operations: Columns of the mixture, of the operations in the order of `MIXED`; None where not offered.
    """

    node: int
    source: int
    weight: str
    operations: tuple[int | None, ...]


@dataclass(frozen=True)
class Outline:
    """What a graph depends on.

    Attributes:
        layout: The supernet.
        terms: What is computed, node by node.
        normalisation: `batch`, `running` with given statistics, or `none`.
        masked_x: Whether x is masked where a matrix multiplies it.
        masked_h: The same for states.
    """

    layout: Layout
    terms: tuple[Term, ...]
    normalisation: str
    masked_x: bool
    masked_h: bool


def supernet_graph(outline: Outline) -> Graph:
    """Build the graph of a supernet; weights of the cell are named `<term's weight>.c` and `.u`.

    The parameters are those of all terms, then those of both gates, a step back like a term.
    """
    layout = outline.layout
    builder = GraphBuilder(input_width(layout), {STATE: HIDDEN_WIDTH, **gate_states(layout)})
    writer = _Writer(builder, outline)
    cell = PARAMETERS_OF_A_TERM * len(outline.terms)
    gates = GateWriter(
        builder,
        layout,
        first_parameter=cell,
        stride=PARAMETERS_OF_A_TERM,
        mask_x=writer.mask_x,
        mask_h=writer.mask_h,
    )
    states = [writer.start(gates.write() if layout.delay else Gated(INPUT, STATE))]
    for node in range(1, layout.nodes + 1):
        states.append(writer.node(node, states))
    output = writer.add("output", "mean", *states[1:])
    parameters = cell + 2 * layout.delay * PARAMETERS_OF_A_TERM
    return builder.finish(output, [output, *gates.nexts(output)], parameters)


class _Writer:
    def __init__(self, builder: GraphBuilder, outline: Outline) -> None:
        self.builder = builder
        self.outline = outline
        self.mask_x = MASK_OF_X if outline.masked_x else None
        self.mask_h = MASK_OF_HIDDEN if outline.masked_h else None
        # States that are the same in all rows, whatever x and h are.
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
        """State `node`, from those before it.

        One that reads no state that varies is the same in all rows, and what is left of it when the mean of a
        batch is taken away is 0.
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
        first = index * PARAMETERS_OF_A_TERM
        mixed = self.add(
            f"mixed{index}", "mixture", self._product(f"u{index}e", term, "u", state), immediate=first
        )
        if not self.outline.layout.highway:
            return mixed
        gate = self.add(f"gate{index}e", "sigmoid", self._product(f"c{index}e", term, "c", state))
        passed = self.add(f"passed{index}", "parameter_scale", state, immediate=first + len(MIXED))
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

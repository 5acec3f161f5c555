"""Fast-slow recurrence."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cellzoo.cells.cell import Cell
from cellzoo.cells.graph import HIDDEN_WIDTH, INPUT, INPUT_WIDTH, Node, State
from cellzoo.cells.ops import LINEAR, RECAST, VECTOR
from cellzoo.errors import CellError
from cellzoo.rewrites.replacing import with_init

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_FAST = 8


def fast_slow(fast: Cell, slow: Cell, count: int = 2) -> Cell:
    """Run several fast cells in sequence within a step, together with one slow cell.

    Mujika et al. 2017, "Fast-slow recurrent neural networks", equations 1 to 5: the first fast cell reads x and
    the state of the last fast cell in the previous step; the slow cell reads the output of the first; the
    second fast cell reads the output of the slow one; the others have no input, as if it were 0. Weights are
    not shared. The output is that of the last fast cell.

    Args:
        fast: The fast cell. Each copy passes all its states to the next one.
        slow: The slow cell.
        count: Number of fast cells, 2 to 8.

    Raises:
        CellError: The fast cell carries its input, or `count` is out of range.
    """
    if isinstance(count, bool) or not isinstance(count, int) or not 2 <= count <= MAX_FAST:
        raise CellError(f"fast_slow: count is {count!r:.40}; expected 2 to {MAX_FAST} fast cells")
    if any(state.width == INPUT_WIDTH for state in fast.states):
        raise CellError(
            "fast_slow: the fast cell carries its input from step to step, but only its first copy has an input"
        )
    prefixes = [f"f{number}_" for number in range(1, count + 1)]
    carried = {state.name: f"f_{state.name}" for state in fast.states}
    resting = {state.name: f"s_{state.name}" for state in slow.states}
    first = _Copy(fast, prefixes[0], INPUT, carried)
    middle = _Copy(slow, "s_", first.output, resting)
    nodes = [*first.nodes, *middle.nodes]
    last = first
    for number, prefix in enumerate(prefixes[1:], start=2):
        last = _Copy(fast, prefix, middle.output if number == 2 else None, last.after)
        nodes += last.nodes
    states = [State(carried[state.name], last.after[state.name]) for state in fast.states]
    states += [State(resting[state.name], middle.after[state.name]) for state in slow.states]
    name = f"{fast.name}-{slow.name}-fs{count}" if fast.name and slow.name else ""
    found = Cell(tuple(states), tuple(nodes), last.output, name=name)
    return with_init(found, *[fast] * count, slow, prefixes=[*prefixes, "s_"])


class _Copy:
    """A copy of a cell's nodes with prefixed names, in which x and the states are replaced by other values."""

    def __init__(self, cell: Cell, prefix: str, x: str | None, states: Mapping[str, str]) -> None:
        self.cell = cell
        self.prefix = prefix
        self.is_hidden = x != INPUT
        self.known: dict[str, str | None] = {INPUT: x, **states}
        self.nodes: list[Node] = [] if x is not None else [Node(f"{prefix}no_input", "zero")]
        for node in cell.live_nodes:
            self.nodes.append(self._node(node))
            self.known[node.name] = f"{prefix}{node.name}"
        self.output = self._value(cell.output)
        self.after = {state.name: self._value(state.next) for state in cell.states}

    def _value(self, name: str) -> str:
        return self.known[name] or f"{self.prefix}no_input"

    def _without_input(self, node: Node) -> Node:
        """A linear node whose inputs are all 0: its bias, or 0."""
        name, width = f"{self.prefix}{node.name}", HIDDEN_WIDTH if node.width == INPUT_WIDTH else node.width
        if node.bias is None:
            return Node(name, "zero", width=width)
        return Node(name, VECTOR, weights=(f"{self.prefix}{node.bias}",), width=width)

    def _node(self, node: Node) -> Node:
        inputs, weights = node.inputs, node.weights
        if node.op == LINEAR:
            terms = [term for term in zip(inputs, weights, strict=True) if self.known[term[0]] is not None]
            if not terms:
                return self._without_input(node)
            inputs, weights = tuple(term[0] for term in terms), tuple(term[1] for term in terms)
        return replace(
            node,
            name=f"{self.prefix}{node.name}",
            # With an input of the hidden width there is nothing to cast.
            op="identity" if node.op == RECAST and self.is_hidden else node.op,
            inputs=tuple(self._value(source) for source in inputs),
            weights=tuple(f"{self.prefix}{weight}" for weight in weights),
            bias=None if node.bias is None else f"{self.prefix}{node.bias}",
            width=HIDDEN_WIDTH if self.is_hidden and node.width == INPUT_WIDTH else node.width,
        )

"""Multiplicative integration."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cellzoo.cells.graph import Node
from cellzoo.cells.ops import LINEAR, VECTOR
from cellzoo.rewrites.replacing import Names, depends_on, replace_nodes

if TYPE_CHECKING:
    from cellzoo.cells.cell import Cell


def multiplicative_integration(cell: Cell) -> Cell:
    """Combine the products of the input and of the state multiplicatively instead of by their sum.

    Where a linear node reads both values of x and values that depend on a state, W x + U z + b becomes
    alpha * (W x) * (U z) + beta * (U z) + gamma * (W x) + b with vectors alpha, beta and gamma; Wu et al. 2016,
    "On multiplicative integration with recurrent neural networks", equation 4. The bias becomes a vector, which
    is kept in a layer with `bias=False`.

    Args:
        cell: The cell.

    Raises:
        CellError: A bias is shared with a node that is not rewritten.
    """
    late = depends_on(cell, {state.name for state in cell.states})
    names = Names(cell)

    def change(node: Node) -> list[Node]:
        terms = list(zip(node.inputs, node.weights, strict=True)) if node.op == LINEAR else []
        early = [term for term in terms if term[0] not in late]
        if not early or len(early) == len(terms):
            return [node]
        parts = []
        for label, chosen in (("on_x", early), ("on_h", [term for term in terms if term not in early])):
            inputs, weights = zip(*chosen, strict=True)
            name = names.free(f"{node.name}_{label}")
            parts.append(replace(node, name=name, inputs=inputs, weights=weights, bias=None))
        on_x, on_h = (part.name for part in parts)
        made: list[Node] = [*parts]

        def add(op: str, *inputs: str, weight: str = "", name: str = "") -> str:
            name = name or names.free(f"{node.name}_mi")
            width = node.width if op == VECTOR else "hidden"
            made.append(Node(name, op, inputs, (weight,) if weight else (), width=width))
            return name

        alpha, beta, gamma = (
            add(VECTOR, weight=names.free(f"{node.name}_{letter}")) for letter in ("alpha", "beta", "gamma")
        )
        total = [
            add("multiply", add("multiply", alpha, on_x), on_h),
            add("multiply", beta, on_h),
            add("multiply", gamma, on_x),
        ]
        if node.bias is not None:
            total.append(add(VECTOR, weight=node.bias))
        add("add", *total, name=node.name)
        return made

    return replace_nodes(cell, "mi", change)

"""Layer normalisation of the inputs of activations."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cellzoo.cells.graph import Node, constant
from cellzoo.cells.ops import AVERAGE, LINEAR, VECTOR
from cellzoo.rewrites.replacing import Names, replace_nodes

if TYPE_CHECKING:
    from cellzoo.cells.cell import Cell

EPSILON = 1e-5
ACTIVATIONS = frozenset(
    {"tanh", "sigmoid", "relu", "leaky_relu", "selu", "softplus", "exp", "hard_sigmoid", "sqrt"}
)


def layer_norm(cell: Cell) -> Cell:
    """Apply layer normalisation to every linear node that an activation reads.

    a = W x + U h becomes (1 + g) * (a - mean(a)) / sqrt(var(a) + 1e-5) + b, with vectors g and b and the biased
    variance; Ba et al. 2016, "Layer normalization", equation 4. The gain is 1 + g because all weights are
    initialised around 0. The node's bias, if it has one, is b.

    Args:
        cell: The cell.

    Raises:
        CellError: A bias is shared with a node that no activation reads.
    """
    read = {source for node in cell.live_nodes if node.op in ACTIVATIONS for source in node.inputs}
    names = Names(cell)

    def change(node: Node) -> list[Node]:
        if node.op != LINEAR or node.name not in read:
            return [node]
        made: list[Node] = [replace(node, name=names.free(f"{node.name}_raw"), bias=None)]

        def add(op: str, *inputs: str, name: str = "") -> str:
            made.append(Node(name or names.free(f"{node.name}_ln"), op, inputs))
            return made[-1].name

        def leaf(made_of: Node) -> str:
            made.append(made_of)
            return made_of.name

        raw = made[0].name
        distance = add("subtract", raw, add(AVERAGE, raw))
        variance = add(AVERAGE, add("multiply", distance, distance))
        epsilon = leaf(constant(names.free(f"{node.name}_epsilon"), EPSILON, node.width))
        normal = add("divide", distance, add("sqrt", add("add", variance, epsilon)))
        one = leaf(Node(names.free(f"{node.name}_one"), "one", width=node.width))
        gain = leaf(
            Node(
                names.free(f"{node.name}_g"),
                VECTOR,
                weights=(names.free(f"{node.name}_gain"),),
                width=node.width,
            )
        )
        shift = leaf(
            Node(
                names.free(f"{node.name}_s"),
                VECTOR,
                weights=(node.bias or names.free(f"{node.name}_shift"),),
                width=node.width,
            )
        )
        scaled = add("multiply", add("add", one, gain), normal)
        add("add", scaled, shift, name=node.name)
        return made

    return replace_nodes(cell, "ln", change)

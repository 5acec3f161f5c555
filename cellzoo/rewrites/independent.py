"""Independent recurrence."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cellzoo.cells.graph import HIDDEN_WIDTH, Node
from cellzoo.cells.ops import AVERAGE, LINEAR, VECTOR
from cellzoo.errors import CellError
from cellzoo.rewrites.replacing import Names, depends_on, replace_nodes

if TYPE_CHECKING:
    from cellzoo.cells.cell import Cell


def independent_recurrence(cell: Cell) -> Cell:
    """Make the units of the states independent: each depends only on its own past.

    Every matrix on a value that depends on a state becomes a vector: U h becomes u * h, as in Li et al. 2018,
    "Independently recurrent neural network (IndRNN)", equation 1. Units are mixed by the layer above.

    Args:
        cell: The cell.

    Raises:
        CellError: A matrix on such a value changes the width, or an average reads one, which mixes the units.
    """
    late = depends_on(cell, {state.name for state in cell.states if state.width == HIDDEN_WIDTH})
    names = Names(cell)
    label = f"cell {cell.name!r}" if cell.name else "cell"

    def change(node: Node) -> list[Node]:
        if node.op == AVERAGE and node.inputs[0] in late:
            raise CellError(
                f"{label}: node {node.name!r} averages over units, so that they are not independent"
            )
        if node.op != LINEAR or late.isdisjoint(node.inputs):
            return [node]
        made: list[Node] = []
        total: list[str] = []
        rest = [term for term in zip(node.inputs, node.weights, strict=True) if term[0] not in late]
        if rest:
            inputs, weights = zip(*rest, strict=True)
            made.append(replace(node, name=names.free(f"{node.name}_on_x"), inputs=inputs, weights=weights))
            total.append(made[-1].name)
        elif node.bias is not None:
            made.append(Node(names.free(f"{node.name}_bias"), VECTOR, weights=(node.bias,)))
            total.append(made[-1].name)
        for source, weight in zip(node.inputs, node.weights, strict=True):
            if source not in late:
                continue
            if cell.widths[source] != HIDDEN_WIDTH or node.width != HIDDEN_WIDTH:
                raise CellError(
                    f"{label}: node {node.name!r} takes {source!r} from the {cell.widths[source]} width to the "
                    f"{node.width} width; independent units need the hidden width on both sides"
                )
            vector = Node(names.free(f"{node.name}_u"), VECTOR, weights=(weight,))
            product = Node(names.free(f"{node.name}_own"), "multiply", (vector.name, source))
            made += [vector, product]
            total.append(product.name)
        return [*made, Node(node.name, "add", tuple(total))]

    return replace_nodes(cell, "independent", change)

"""Common parts of the rewrites: replacing nodes, and generating unused names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellzoo.cells.cell import Cell
from cellzoo.cells.graph import INPUT
from cellzoo.cells.initial import rules
from cellzoo.cells.ops import VECTOR

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cellzoo.cells.graph import CellGraph, Node


class Names:
    """Generates unused names for nodes and weights of a cell."""

    def __init__(self, cell: CellGraph) -> None:
        self._taken = {INPUT, *(state.name for state in cell.states)}
        for node in cell.nodes:
            self._taken |= {node.name, *node.weights, *([] if node.bias is None else [node.bias])}

    def free(self, wanted: str) -> str:
        """Return the name, with a number appended if it is in use, and mark it as used."""
        name, number = wanted, 1
        while name in self._taken:
            number += 1
            name = f"{wanted}_{number}"
        self._taken.add(name)
        return name


def replace_nodes(cell: Cell, suffix: str, change: Callable[[Node], Sequence[Node]]) -> Cell:
    """Rebuild a cell from its live nodes.

    Args:
        cell: The cell.
        suffix: Of the new cell's name.
        change: Returns the nodes that replace a node; the last of them has its name.
    """
    nodes = [new for node in cell.live_nodes for new in change(node)]
    name = f"{cell.name}-{suffix}" if cell.name else ""
    return with_init(Cell(cell.states, tuple(nodes), cell.output, name=name), cell)


def with_init(rewritten: Cell, *cells: Cell, prefixes: Sequence[str] = ("",)) -> Cell:
    """Copy the initialisation of weights that still exist with the same kind; a bias may be a vector now."""
    kinds = _kinds(rewritten)
    init = []
    for cell, prefix in zip(cells, prefixes, strict=True):
        before = _kinds(cell)
        init += [
            (f"{prefix}{weight}", rule.text)
            for weight, rule in rules(cell).items()
            if kinds.get(f"{prefix}{weight}") == before[weight]
        ]
    return Cell(rewritten.states, rewritten.nodes, rewritten.output, name=rewritten.name, init=tuple(init))


def _kinds(cell: CellGraph) -> dict[str, str]:
    kinds = {weight: node.op for node in cell.live_nodes for weight in node.weights}
    return kinds | {node.bias: VECTOR for node in cell.live_nodes if node.bias is not None}


def depends_on(cell: CellGraph, sources: set[str]) -> set[str]:
    """The values that depend on at least one of the sources, the sources included."""
    found = set(sources)
    for node in cell.live_nodes:
        if not found.isdisjoint(node.inputs):
            found.add(node.name)
    return found

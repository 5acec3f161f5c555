"""Recognises the steps in a graph by its structure, not by its names."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from cellzoo.cells.graph import INPUT, Node
from cellzoo.cells.ops import LINEAR
from cellzoo.errors import CellError, NotationError
from cellzoo.notations.steps.graph import MEAN, MORE_OPERATIONS, NONE, OPERATIONS, SUM, Edge, Steps

if TYPE_CHECKING:
    from cellzoo.cells.cell import Cell
    from cellzoo.notations.literals import Form

_ACTIVATIONS = frozenset((*OPERATIONS, *MORE_OPERATIONS))


def read_steps(cell: Cell, form: Form) -> Steps:
    """Recognise the steps of a cell that has one state; `confirm` must check the result.

    Args:
        cell: Any cell.
        form: The notation, for error messages.

    Raises:
        NotationError: The cell is not made of steps.
    """
    if len(cell.states) != 1:
        names = ", ".join(state.name for state in cell.states)
        raise cannot_write(form, f"it has {len(cell.states)} states ({names})")
    return StepsReader(cell, form).read(INPUT, cell.states[0].name)


def confirm(cell: Cell, rebuilt: Cell, form: Form) -> None:
    """Check that the cell that was rebuilt from the recognised steps is the same graph.

    Raises:
        NotationError: It is another graph.
    """
    if rebuilt == cell:
        return
    try:
        is_same = rebuilt.hash == cell.hash
    except CellError as error:
        raise cannot_write(form, str(error)) from error
    if not is_same:
        raise cannot_write(form, "a cell with these steps has another graph")


def cannot_write(form: Form, why: str) -> NotationError:
    """Build the error for a cell that a notation cannot express."""
    return form.fault(f"the cell cannot be written in this notation: {why}")


class StepsReader:
    """A cell without its identities.

    Attributes:
        cell: The cell.
        nodes: Its nodes by name, in their order.
        uses: Name -> the nodes that read it.
    """

    def __init__(self, cell: Cell, form: Form) -> None:
        self.cell = cell
        self.form = form
        self.nodes: dict[str, Node] = {}
        self.uses: dict[str, list[Node]] = defaultdict(list)
        self._alias: dict[str, str] = {}
        for node in cell.nodes:
            inputs = tuple(map(self.resolve, node.inputs))
            if node.op == "identity":
                self._alias[node.name] = inputs[0]
                continue
            seen = node if inputs == node.inputs else replace(node, inputs=inputs)
            self.nodes[node.name] = seen
            for source in set(inputs):
                self.uses[source].append(seen)

    def resolve(self, name: str) -> str:
        """The name of a value, with identity nodes followed back to their input."""
        return self._alias.get(name, name)

    def activation(self, name: str) -> tuple[str, str]:
        """The activation that computes a value, and its input; (`identity`, the value) if there is none."""
        node = self.nodes.get(name)
        if node is not None and node.op == "zero":
            return NONE, name
        if node is not None and node.op in _ACTIVATIONS:
            return node.op, node.inputs[0]
        return "identity", name

    def read(self, x: str, h: str) -> Steps:
        """Recognise the steps, with the value `x` as the input and `h` as the previous state.

        Raises:
            NotationError: There are none.
        """
        final = self.nodes.get(self.resolve(self.cell.output))
        if final is None or final.op != "mean":
            raise cannot_write(self.form, "its output is not a mean of states")
        if self.resolve(self.cell.states[0].next) != final.name:
            raise cannot_write(self.form, "its next state is not its output")
        highway = any(node.op == "blend" and node.inputs[2] == h for node in self.nodes.values())
        start, first = self._start(x, h, highway=highway)
        joints = {
            name: node for name, node in self.nodes.items() if node.op in ("mean", "add") and name != final.name
        }
        candidates = {node.inputs[1] for node in self.nodes.values() if node.op == "blend"}
        members = {source for node in joints.values() for source in node.inputs}
        index = {first: 0}
        found: dict[str, Edge] = {}
        edges: list[tuple[Edge, ...]] = []
        combine = MEAN
        for node in self.nodes.values():
            step: tuple[Edge, ...] | None = None
            edge = self._gated_edge(node, index) if highway else self._plain_edge(node, index)
            if edge is not None:
                found[node.name] = edge
                step = None if node.name in members else (edge,)
            elif node.op == "zero" and node.name not in candidates:
                step = ()
            elif node.name in joints and found.keys() >= set(node.inputs):
                step = tuple(found[source] for source in node.inputs)
                combine = SUM if node.op == "add" else MEAN
            if step is not None:
                index[node.name] = len(index)
                edges.append(step)
        if not edges:
            raise cannot_write(self.form, "it has no step")
        for source in final.inputs:
            if source not in index:
                raise cannot_write(self.form, f"its output reads {source!r}, which is not a step")
        concat = tuple(index[source] for source in final.inputs)
        return Steps(tuple(edges), concat, start, combine, highway)

    def _start(self, x: str, h: str, *, highway: bool) -> tuple[str, str]:
        """Find the operation and the name of state 0."""
        for node in self.nodes.values():
            if highway and node.op == "blend" and node.inputs[2] == h:
                op, product = self.activation(node.inputs[1])
                if self._is_product(product, {x, h}):
                    return op, node.name
            if not highway and self._is_product(node.name, {x, h}):
                activated = self._activated(node)
                return (activated[0].op, activated[0].name) if activated else ("identity", node.name)
        raise cannot_write(self.form, f"no node computes state 0 from products of {x!r} and {h!r}")

    def _gated_edge(self, node: Node, index: dict[str, int]) -> Edge | None:
        """The edge with a highway that ends in a node, from one of the states in `index`."""
        if node.op != "blend" or node.inputs[2] not in index:
            return None
        op, product = self.activation(node.inputs[1])
        is_edge = op == NONE or self._is_product(product, {node.inputs[2]})
        return (op, index[node.inputs[2]]) if is_edge else None

    def _plain_edge(self, node: Node, index: dict[str, int]) -> Edge | None:
        """The edge without a highway that ends in a node, from one of the states in `index`."""
        op, name = self.activation(node.name)
        product = self.nodes.get(name)
        if product is None or product.op != LINEAR or len(product.inputs) != 1:
            return None
        if op == "identity" and self.uses[name] and len(self._activated(node)) == len(self.uses[name]):
            return None
        return (op, index[product.inputs[0]]) if product.inputs[0] in index else None

    def _activated(self, node: Node) -> list[Node]:
        return [user for user in self.uses[node.name] if user.op in _ACTIVATIONS]

    def _is_product(self, name: str, sources: set[str]) -> bool:
        node = self.nodes.get(name)
        return node is not None and node.op == LINEAR and set(node.inputs) == sources

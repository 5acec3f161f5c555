"""Recognises the FENAS node list of a cell by the structure of its graph, not by names."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from cellzoo.cells.canonical import canonical_form
from cellzoo.cells.graph import HIDDEN_WIDTH, INPUT, Node
from cellzoo.cells.ops import LINEAR
from cellzoo.errors import NotationError
from cellzoo.notations.fenas_list import ACTIVATIONS, MAX_NODES, SYMBOLS, ZERO, Architecture, Gene, to_cell

if TYPE_CHECKING:
    from cellzoo.cells.cell import Cell

_NAMES = {op: name for name, op in ACTIVATIONS.items()}
_SIGNS = {op: sign for sign, op in SYMBOLS.items()}


def to_architecture(cell: Cell) -> Architecture:
    """Find the node list of a cell.

    Raises:
        NotationError: The cell has none; the message says why.
    """
    architecture = _Decoder(canonical_form(cell)).decode()
    if len(architecture.genes) > MAX_NODES:
        raise _cannot(f"it has {len(architecture.genes)} nodes; at most {MAX_NODES} are read")
    if to_cell(architecture).hash != cell.hash:
        raise _cannot("some of its weights are shared")
    return architecture


class _Decoder:
    """Decodes a canonical form, which has no dead nodes, and no identity other than the output."""

    def __init__(self, cell: Cell) -> None:
        if len(cell.states) > 2 or any(state.width != HIDDEN_WIDTH for state in cell.states):
            raise _cannot("its states are not h, or h and c, of the hidden width")
        if cell.output != cell.states[0].next:
            raise _cannot("its output is not the next value of its first state")
        self.cell = cell
        self.nodes = {node.name: node for node in cell.nodes}
        self.uses = Counter(source for node in cell.nodes for source in node.inputs)
        self.uses.update([cell.output, *(state.next for state in cell.states)])
        self.projection = self._find_projection()
        self.skips: dict[str, tuple[str, ...]] = {}
        self.parts = self._find_parts()
        self.names = {INPUT: INPUT} | dict(zip((state.name for state in cell.states), ("h", "c"), strict=False))
        self.genes: list[Gene] = []

    def decode(self) -> Architecture:
        for node in self.cell.nodes:
            if node.name not in self.parts and node.name != self.projection:
                self.names[node.name] = self._append(self._gene(node))
        memory = self._as_node(self.cell.states[1].next) if len(self.cell.states) == 2 else None
        output = self._as_node(self.cell.output)
        if output != f"n{len(self.genes)}":
            self._append(Gene("a_id", output))
        return Architecture(tuple(self.genes), memory)

    def _append(self, gene: Gene) -> str:
        self.genes.append(gene)
        return f"n{len(self.genes)}"

    def _as_node(self, value: str) -> str:
        """The name of a value as a node; the projected x and states get an identity node."""
        if value == self.projection and value not in self.names:
            self.names[value] = self._append(Gene("a_id", INPUT))
        name = self.names[value]
        return name if name.startswith("n") else self._append(Gene("a_id", name))

    def _weighted(self, value: str) -> str:
        return self._as_node(value) if value == self.projection else self.names[value]

    def _plain(self, value: str) -> str:
        if value == INPUT:
            raise _cannot("a function without weights reads x directly; FENAS projects x first")
        return INPUT if value == self.projection else self.names[value]

    def _gene(self, node: Node) -> Gene:
        if node.name in self.skips:
            candidate = self.nodes[node.inputs[1]]
            return Gene(f"S_{_NAMES[candidate.op]}", *map(self._weighted, self.skips[node.name]))
        if node.op == LINEAR:
            return Gene("A_id", *map(self._weighted, node.inputs))
        if node.op in _SIGNS:
            names = [ZERO if source in self.parts else self._plain(source) for source in node.inputs]
            return Gene(_SIGNS[node.op], *names)
        if node.op not in _NAMES:
            raise _cannot(f"it has the operation {node.op!r} where no FENAS function has it")
        part = self.nodes.get(node.inputs[0])
        if part is None or part.name not in self.parts:
            return Gene(f"a_{_NAMES[node.op]}", self._plain(node.inputs[0]))
        if part.op == LINEAR:
            return Gene(f"A_{_NAMES[node.op]}", *map(self._weighted, part.inputs))
        return Gene(f"a_{_NAMES[node.op]}", *map(self._plain, part.inputs))

    def _find_projection(self) -> str | None:
        found = [node for node in self.cell.nodes if node.op == LINEAR and node.bias is None]
        if len(found) > 1 or any(node.inputs != (INPUT,) for node in found):
            raise _cannot("it has products without bias other than one projection of x")
        for node in self.cell.nodes:
            if node.op == LINEAR and len(node.inputs) > 2:
                raise _cannot(f"it has a product of {len(node.inputs)} inputs; a node has two")
            if node.op in _SIGNS and len(node.inputs) != 2:
                raise _cannot(f"it has {node.op} of {len(node.inputs)} inputs; a node has two")
            if node.op == LINEAR and node.width != HIDDEN_WIDTH:
                raise _cannot(f"it has a product of the width {node.width}; here all have the hidden one")
        return found[0].name if found else None

    def _find_parts(self) -> set[str]:
        """Find the nodes that are inner parts of a gene, the largest genes first."""
        parts: set[str] = set()
        for node in reversed(self.cell.nodes):
            if node.name in parts:
                continue
            if node.op == "blend":
                parts |= self._parts_of_skip(node)
                continue
            absorbs = {"subtract": ("zero",), **dict.fromkeys(_NAMES, (LINEAR, "add"))}.get(node.op, ())
            if absorbs and self._is_part(node.inputs[0], *absorbs):
                parts.add(node.inputs[0])
        return parts

    def _parts_of_skip(self, node: Node) -> set[str]:
        gate, candidate, carried = node.inputs
        fits = self._is_part(gate, "sigmoid") and self._is_part(candidate, "tanh", "relu", "sigmoid")
        products = [self.nodes[self.nodes[name].inputs[0]] for name in (gate, candidate)] if fits else []
        if not products or not all(self._is_part(product.name, LINEAR) for product in products):
            raise _cannot("it has a blend that is not a skip function")
        inputs = products[0].inputs
        plain = sorted(str(self.projection) if source == INPUT else source for source in inputs)
        parts = {gate, candidate, *(product.name for product in products)}
        if len(inputs) == 2:
            total = self.nodes[carried] if self._is_part(carried, "add") else None
            found = sorted(total.inputs) if total else []
            parts.add(carried)
        else:
            found = [carried]
        if sorted(products[1].inputs) != sorted(inputs) or found != plain:
            raise _cannot("it has a blend that is not a skip function")
        self.skips[node.name] = inputs
        return parts

    def _is_part(self, value: str, *ops: str) -> bool:
        """Whether a value is a node with one of these operations, used once and not the projection."""
        node = self.nodes.get(value)
        return node is not None and node.op in ops and self.uses[value] == 1 and value != self.projection


def _cannot(why: str) -> NotationError:
    return NotationError(f"FENAS: the cell cannot be written in this notation: {why}")

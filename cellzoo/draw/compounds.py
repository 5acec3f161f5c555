"""Groups nodes of a cell that are drawn as one box."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellzoo.cells.ops import LINEAR, PRIMITIVES, RECAST

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cellzoo.cells.graph import CellGraph, Node

ACTIVATIONS = frozenset(
    name for name, primitive in PRIMITIVES.items() if primitive.arity == 1 and name != RECAST
)
CHAINED = ("add", "multiply")
JOINED = ("add", "mean")

# A cell with fewer highways is drawn without compound boxes for them.
MIN_HIGHWAYS = 3


@dataclass(frozen=True)
class Branch:
    """The nodes of one highway, z * f(W p) + (1 - z) * p with z = sigmoid(V p).

    Attributes:
        blend: Its last node.
        candidate: The node of f.
        to_gate: The product V p.
        to_candidate: The product W p; None where f is a constant.
    """

    blend: Node
    candidate: Node
    to_gate: Node
    to_candidate: Node | None

    @property
    def carry(self) -> str:
        """The name of p."""
        return self.blend.inputs[2]

    @property
    def members(self) -> tuple[str, ...]:
        """The names of its nodes."""
        parts = (self.to_gate.name, self.blend.inputs[0], self.candidate.name, self.blend.name)
        return parts if self.to_candidate is None else (*parts, self.to_candidate.name)


@dataclass(frozen=True)
class Compound:
    """Nodes that are drawn as one box.

    Attributes:
        root: The node whose value is the value of the box.
        members: Names of all its nodes, in topological order.
        branches: Its highways, if any: one that ends in the root, or several that the root combines.
    """

    root: Node
    members: tuple[str, ...]
    branches: tuple[Branch, ...] = ()


def single_groups(cell: CellGraph) -> list[Compound]:
    """A group for each live node, in topological order."""
    return [Compound(node, (node.name,)) for node in cell.live_nodes]


def overview_groups(cell: CellGraph) -> list[Compound]:
    """Group the live nodes, in topological order of the roots.

    Highways are grouped, and nodes with inputs that only they read: the product before an activation, nested
    sums of a sum and products of a product, the 1 of 1 - a.
    """
    nodes = {node.name: node for node in cell.live_nodes}
    order = {name: index for index, name in enumerate(nodes)}
    highways = _highways(nodes, _readers(cell))
    inside = {name: root for root, branches in highways.items() for name in _members(branches)}
    inside |= {root: root for root in highways}
    owner: dict[str, str] = {}
    uses = _readers(cell)
    for node in reversed(nodes.values()):
        if node.name in inside:
            continue
        for source in node.inputs:
            part = nodes.get(source)
            if part is not None and source not in inside and len(uses[source]) == 1 and _is_part(part, node):
                owner[source] = owner.get(node.name, node.name)
    members: dict[str, list[str]] = {}
    for name in nodes:
        members.setdefault(inside.get(name) or owner.get(name, name), []).append(name)
    return [
        Compound(nodes[root], tuple(members[root]), highways.get(root, ()))
        for root in sorted(members, key=lambda root: order[root])
    ]


def _is_part(part: Node, node: Node) -> bool:
    """Whether `part`, which only `node` reads, is drawn in the box of `node`."""
    return (
        (part.op == LINEAR and node.op in ACTIVATIONS)
        or (part.op == node.op and node.op in CHAINED)
        or (part.op == "one" and node.op == "subtract" and part.name == node.inputs[0])
    )


def _readers(cell: CellGraph) -> dict[str, list[str]]:
    """Value -> the nodes that read it, once per input; an empty name for a next state or the output."""
    readers: dict[str, list[str]] = {node.name: [] for node in cell.live_nodes}
    for node in cell.live_nodes:
        for source in node.inputs:
            readers.setdefault(source, []).append(node.name)
    for source in (*(state.next for state in cell.states), cell.output):
        readers.setdefault(source, []).append("")
    return readers


def _highways(nodes: dict[str, Node], readers: dict[str, list[str]]) -> dict[str, tuple[Branch, ...]]:
    """Root -> branches of its box, for all highways; empty if there are fewer than `MIN_HIGHWAYS`."""
    branches = {name: branch for name, node in nodes.items() if (branch := _branch(node, nodes))}
    found: dict[str, tuple[Branch, ...]] = {}
    for root in nodes.values():
        joined = tuple(branches[source] for source in root.inputs if source in branches)
        if root.op in JOINED and len(joined) == len(root.inputs) > 1 and _is_closed(joined, root.name, readers):
            found[root.name] = joined
    taken = _members(branch for joined in found.values() for branch in joined)
    for name, branch in branches.items():
        if name not in taken and _is_closed((branch,), name, readers):
            found[name] = (branch,)
    return found if len(found) >= MIN_HIGHWAYS else {}


def _branch(blend: Node, nodes: dict[str, Node]) -> Branch | None:
    """The highway that ends in a node; None if there is none."""
    if blend.op != "blend":
        return None
    gate, candidate = nodes.get(blend.inputs[0]), nodes.get(blend.inputs[1])
    if gate is None or candidate is None or gate.op != "sigmoid":
        return None
    to_gate = _product(gate, nodes)
    if to_gate is None or blend.inputs[2] not in to_gate.inputs:
        return None
    if candidate.op == "zero":
        return Branch(blend, candidate, to_gate, None)
    to_candidate = _product(candidate, nodes) if candidate.op in ACTIVATIONS else None
    if to_candidate is None or set(to_candidate.inputs) != set(to_gate.inputs):
        return None
    if (to_gate.bias is None) != (to_candidate.bias is None):
        return None
    return Branch(blend, candidate, to_gate, to_candidate)


def _product(node: Node, nodes: dict[str, Node]) -> Node | None:
    """The product that a node reads, if it reads each value once."""
    part = nodes.get(node.inputs[0])
    is_plain = part is not None and part.op == LINEAR and len(set(part.inputs)) == len(part.inputs)
    return part if is_plain else None


def _members(branches: Iterable[Branch]) -> set[str]:
    return {name for branch in branches for name in branch.members}


def _is_closed(branches: tuple[Branch, ...], root: str, readers: dict[str, list[str]]) -> bool:
    """Whether only the root is read from outside the box, and each blend is read once."""
    members = _members(branches)
    inside = members | {root}
    return all(set(readers[name]) <= inside for name in members - {root}) and all(
        len(readers[branch.blend.name]) == 1 for branch in branches if branch.blend.name != root
    )

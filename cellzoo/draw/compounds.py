"""Which nodes of a cell people read as one thing."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from cellzoo.ops import LINEAR, PRIMITIVES, RECAST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellzoo.cell import Cell, Node

ACTIVATIONS = frozenset(
    name for name, primitive in PRIMITIVES.items() if primitive.arity == 1 and name != RECAST
)
CHAINED = ("add", "multiply")

# With fewer, a cell is clearer when all its parts are seen.
MIN_HIGHWAYS = 3


def overview_groups(cell: Cell) -> dict[str, list[str]]:
    """Group the nodes that have an effect, in topological order.

    Returns:
        Root -> members, the root last. A highway's members are: product of the gate, gate, product of the
        candidate, candidate, blend. All others are a root with what only it reads: the product before an
        activation, the sums of a sum, the products of a product, the 1 of 1 - a.
    """
    nodes = {node.name: node for node in cell.live_nodes}
    uses = _uses(cell)
    groups = {root.name: parts for root in nodes.values() if (parts := _highway(root, nodes, uses))}
    if len(groups) < MIN_HIGHWAYS:
        groups = {}
    taken = {name for parts in groups.values() for name in parts}
    owner: dict[str, str] = {}
    for node in reversed(nodes.values()):
        if node.name in taken:
            continue
        for source in node.inputs:
            part = nodes.get(source)
            if part is None or uses[source] != 1 or source in taken:
                continue
            is_product = part.op == LINEAR and node.op in ACTIVATIONS
            is_chain = part.op == node.op and node.op in CHAINED
            is_rest = part.op == "one" and node.op == "subtract" and source == node.inputs[0]
            if is_product or is_chain or is_rest:
                owner[source] = owner.get(node.name, node.name)
    for name in nodes:
        if name not in taken:
            groups.setdefault(owner.get(name, name), []).append(name)
    order = {name: index for index, name in enumerate(nodes)}
    return dict(sorted(groups.items(), key=lambda item: order[item[0]]))


def is_highway(root: Node, members: Sequence[object]) -> bool:
    """Whether a group of `overview_groups` is a highway."""
    return root.op == "blend" and len(members) > 1


def _uses(cell: Cell) -> Counter[str]:
    """How often each value is read, by nodes, as a next state, or as the output."""
    uses = Counter(source for node in cell.live_nodes for source in node.inputs)
    uses.update(state.next for state in cell.states)
    uses[cell.output] += 1
    return uses


def _highway(root: Node, nodes: dict[str, Node], uses: Counter[str]) -> list[str]:
    """The members of the highway that ends in `root`: z * f(W p) + (1 - z) * p; empty if it is none."""
    if root.op != "blend":
        return []
    gate, candidate = nodes.get(root.inputs[0]), nodes.get(root.inputs[1])
    if gate is None or candidate is None or gate.op != "sigmoid" or candidate.op not in ACTIVATIONS:
        return []
    products = (nodes.get(gate.inputs[0]), nodes.get(candidate.inputs[0]))
    for part in (gate, candidate, *products):
        if part is None or uses[part.name] != 1:
            return []
    first, second = products
    if first is None or second is None or first.op != LINEAR or second.op != LINEAR:
        return []
    sources = set(first.inputs)
    if len(sources) != len(first.inputs) or len(second.inputs) != len(sources):
        return []
    if set(second.inputs) != sources or root.inputs[2] not in sources:
        return []
    if (first.bias is None) != (second.bias is None):
        return []
    return [first.name, gate.name, second.name, candidate.name, root.name]

"""The boxes and edges of a cell's picture, at one of two levels.

`full` has a box for each live node. `overview` has one box for nodes that belong together: a product with its
activation, nested sums, and the highways of the DARTS family.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from string import ascii_uppercase
from typing import TYPE_CHECKING

from cellzoo.cells.graph import HIDDEN_WIDTH, INPUT, INPUT_WIDTH
from cellzoo.cells.ops import CONSTANT, LINEAR, SCALAR, VECTOR
from cellzoo.draw.compounds import Compound, overview_groups, single_groups
from cellzoo.draw.names import display_names, is_auxiliary
from cellzoo.errors import unknown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cellzoo.cells.graph import CellGraph, Node

LEVELS = ("overview", "full")

# The key of a box for the output alone; not a name that a value or state can have.
OUTPUT_KEY = "output''"

# Kinds of boxes.
INPUT_BOX, STATE, OPERATION, OUTCOME = "input", "state", "operation", "outcome"

# Kinds of edges: an unchanged value; a value multiplied by a matrix; both, as in a highway.
VALUE, WEIGHT, HIGHWAY = "value", "weight", "highway"

_ROLES = {
    "blend": ("z", "×z", "×(1−z)"),
    "subtract": ("a", "b"),
    "divide": ("a", "b"),
}


@dataclass(frozen=True)
class Box:
    """One thing in the picture.

    Attributes:
        key: Unique. The name of a value; for an outcome, a state's name with a prime, or `OUTPUT_KEY`.
        kind: `input`, `state`, `operation`, or `outcome`: a state's next value, the output, or both.
        label: The main text: the operation, or the value's name.
        caption: The small text; may be empty.
        op: The primitive; empty unless the kind is `operation`.
        nodes: Names of the cell's nodes that it represents.
        bias: Whether a bias is added.
        is_highway: Whether it is a highway, s = z * f(W p) + (1 - z) * p, or combines several.
        state: The index of the state that it represents or whose next value it is, else None.
    """

    key: str
    kind: str
    label: str
    caption: str = ""
    op: str = ""
    nodes: tuple[str, ...] = ()
    bias: bool = False
    is_highway: bool = False
    state: int | None = None


@dataclass(frozen=True)
class Edge:
    """A value that one box passes to another.

    Attributes:
        source: Key of a box.
        target: Key of a box.
        kind: `value`, `weight`, or `highway`.
        role: The role of this input in the target, where the inputs have different roles.
        weights: Names of the matrices that multiply it.
        shared: A letter that marks all edges with the same weights; empty if no other edge has them.
    """

    source: str
    target: str
    kind: str = VALUE
    role: str = ""
    weights: tuple[str, ...] = ()
    shared: str = ""


@dataclass(frozen=True)
class Figure:
    """All boxes and edges, in the order of the cell."""

    cell: CellGraph
    level: str
    boxes: tuple[Box, ...]
    edges: tuple[Edge, ...]
    names: Mapping[str, str] = field(default_factory=dict)


def figure(cell: CellGraph, level: str = "overview") -> Figure:
    """Build the figure of a cell.

    Raises:
        UnknownNameError: `level` is not one of `LEVELS`.
    """
    if level not in LEVELS:
        raise unknown("level", level, LEVELS)
    names = display_names(cell)
    live = {node.name: node for node in cell.live_nodes}
    groups = overview_groups(cell) if level == "overview" else single_groups(cell)
    delayed = _delayed_inputs(cell)
    boxes = [Box(INPUT, INPUT_BOX, "x", "input")]
    boxes += [
        Box(state.name, STATE, state.name, "delayed input" if state.name in delayed else "state", state=index)
        for index, state in enumerate(cell.states)
    ]
    edges: list[Edge] = []
    for group in groups:
        parts = [live[name] for name in group.members]
        boxes.append(_operation(group, parts, names))
        edges += _highway_edges(group) if group.branches else _edges(group.root, parts)
    boxes += _outcomes(cell)
    edges += [Edge(state.next, f"{state.name}'") for state in cell.states]
    if boxes[-1].key == OUTPUT_KEY:
        edges.append(Edge(cell.output, OUTPUT_KEY))
    return Figure(cell, level, tuple(boxes), tuple(_with_letters(edges)), names)


def _delayed_inputs(cell: CellGraph) -> set[str]:
    """The states that hold x of an earlier step, unchanged."""
    delayed: set[str] = set()
    while found := {
        state.name for state in cell.states if state.name not in delayed and state.next in {INPUT, *delayed}
    }:
        delayed |= found
    return delayed


def _operation(group: Compound, parts: Sequence[Node], names: Mapping[str, str]) -> Box:
    root = group.root
    op = group.branches[0].candidate.op if len(group.branches) == 1 else root.op
    caption = "" if is_auxiliary(root.name, names) else names[root.name]
    units = next((_UNITS.get(part.width, f"{part.width} units") for part in parts if part.weights), "")
    if op in (VECTOR, SCALAR):
        return Box(root.name, OPERATION, root.weights[0], _joined(op, units), op, group.members)
    heads = max((part.heads for part in parts), default=1)
    units = units if heads == 1 else _joined(units, f"{heads} heads")
    label = root.literal if op == CONSTANT else _SYMBOLS.get(op, op)
    if op == "subtract" and len(parts) > 1:
        label = "1 − a"
    if op == "add" and group.branches:
        label = "sum"
    return Box(
        root.name,
        OPERATION,
        label,
        _joined(caption, units),
        op,
        group.members,
        any(part.bias is not None for part in parts),
        bool(group.branches),
    )


def _joined(*parts: str) -> str:
    return " · ".join(part for part in parts if part)


# Captions name only unusual widths.
_UNITS = {HIDDEN_WIDTH: "", INPUT_WIDTH: "E units"}

_SYMBOLS = {
    "add": "+",
    "multiply": "×",
    "subtract": "a − b",
    "divide": "a / b",
    "minimum": "min",
    "maximum": "max",
    "zero": "0",
    "one": "1",
}


def _edges(root: Node, parts: Sequence[Node]) -> list[Edge]:
    """The edges into a box, from outside it."""
    inside = {part.name for part in parts}
    found = []
    for part in parts:
        has_roles = part.op in _ROLES and inside.isdisjoint(part.inputs)
        roles = _ROLES[part.op] if has_roles else ("",) * len(part.inputs)
        weights = part.weights if part.op == LINEAR else ("",) * len(part.inputs)
        for source, role, weight in zip(part.inputs, roles, weights, strict=True):
            if source not in inside:
                kind = WEIGHT if part.op == LINEAR else VALUE
                found.append(Edge(source, root.name, kind, role, (weight,) if weight else ()))
    return found


def _highway_edges(group: Compound) -> list[Edge]:
    """The edges into a highway box; if it combines several branches, the roles are their operations."""
    merged: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for branch in group.branches:
        second = branch.to_candidate
        other = {} if second is None else dict(zip(second.inputs, second.weights, strict=True))
        for source, weight in zip(branch.to_gate.inputs, branch.to_gate.weights, strict=True):
            kind = HIGHWAY if source == branch.carry else WEIGHT
            weights = (weight, other[source]) if source in other else (weight,)
            merged.setdefault((source, kind, weights), []).append(branch.candidate.op)
    is_marked = len(group.branches) > 1
    return [
        Edge(source, group.root.name, kind, ", ".join(ops) if is_marked else "", weights)
        for (source, kind, weights), ops in merged.items()
    ]


def _outcomes(cell: CellGraph) -> list[Box]:
    """A box for each state's next value; the first that is the output says so, else the output has a box."""
    outcomes = []
    is_marked = False
    for index, state in enumerate(cell.states):
        is_output = state.next == cell.output and not is_marked
        is_marked = is_marked or is_output
        caption = "output" if is_output else "next"
        outcomes.append(Box(f"{state.name}'", OUTCOME, f"{state.name}'", caption, state=index))
    if not is_marked:
        outcomes.append(Box(OUTPUT_KEY, OUTCOME, "output"))
    return outcomes


def _with_letters(edges: Sequence[Edge]) -> list[Edge]:
    """Give edges that share their weights a letter."""
    uses = Counter(weight for edge in edges for weight in edge.weights)
    letters: dict[tuple[str, ...], str] = {}
    lettered = []
    for edge in edges:
        shared = tuple(weight for weight in edge.weights if uses[weight] > 1)
        letter = letters.setdefault(shared, _letter(len(letters))) if shared else ""
        lettered.append(Edge(edge.source, edge.target, edge.kind, edge.role, edge.weights, letter))
    return lettered


def _letter(index: int) -> str:
    round_, position = divmod(index, len(ascii_uppercase))
    return ascii_uppercase[position] + (str(round_ + 1) if round_ else "")

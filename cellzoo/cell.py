"""Cell: the graph that every recurrent cell is, however it was published.

A cell maps the input `x` (width E, the input size) and its states (width H, the hidden size) at one time
step to an output and to the next value of each state.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cellzoo.errors import CellError, unknown
from cellzoo.ops import LINEAR, PRIMITIVES, RECAST, SCALAR, VECTOR

if TYPE_CHECKING:
    from collections.abc import Iterable

INPUT = "x"
HIDDEN_WIDTH, INPUT_WIDTH = "hidden", "input"
MAX_NODES = 1000
MAX_STATES = 32
MAX_WEIGHT_NAME = 200
MAX_UNITS = 100_000
_JSON_VERSION = 1
_NAME_RULE = "is not a letter or _ followed by at most 63 letters, digits or _"
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


@dataclass(frozen=True)
class Node:
    """One operation on named values.

    Attributes:
        name: Unique among nodes and states.
        op: A key of `cellzoo.ops.PRIMITIVES`.
        inputs: `x`, names of states, or names of earlier nodes.
        weights: For `linear`, the weight name for each input; for `vector` and `scalar`, one name. Equal
            names share one weight.
        bias: For `linear`, the bias name, or None.
        width: Of the result, for `linear`, weights and constants: `hidden` (H), `input` (E) for what changes
            x itself, or a number of units such as `32` for a product of low rank. Every other node has the
            width of its inputs (`recast` the other one), and `hidden` here.
    """

    name: str
    op: str
    inputs: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    bias: str | None = None
    width: str = HIDDEN_WIDTH


def linear(name: str, *inputs: str, bias: bool = True) -> Node:
    """Build a linear node with weights of its own."""
    return Node(
        name,
        LINEAR,
        inputs,
        weights=tuple(f"{name}_{source}" for source in inputs),
        bias=f"{name}_b" if bias else None,
    )


@dataclass(frozen=True)
class State:
    """A value carried from step to step, zero at first.

    Attributes:
        name: How nodes read it.
        next: The value that it takes after this step.
        width: `hidden` (H), or `input` (E) for a delayed input.
    """

    name: str
    next: str
    width: str = HIDDEN_WIDTH


@dataclass(frozen=True)
class Cell:
    """A recurrent cell as immutable data.

    Attributes:
        states: In the order in which an RNN module takes and gives them.
        nodes: In topological order.
        output: Name of the node that is the cell's output.
        name: How people call it. No part of the cell's meaning, nor of its hash.

    Raises:
        CellError: The graph is no valid cell; the message names the node and what would be right.
    """

    states: tuple[State, ...]
    nodes: tuple[Node, ...]
    output: str
    name: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        _check(self)

    @cached_property
    def live_nodes(self) -> tuple[Node, ...]:
        """The nodes that the output or a next state depends on; the others have no effect."""
        wanted = {self.output, *(state.next for state in self.states)}
        for node in reversed(self.nodes):
            if node.name in wanted:
                wanted.update(node.inputs)
        return tuple(node for node in self.nodes if node.name in wanted)

    @cached_property
    def widths(self) -> dict[str, str]:
        """Value name -> `input` (E), `hidden` (H), or a number of units in digits."""
        widths = {INPUT: INPUT_WIDTH, **{state.name: state.width for state in self.states}}
        for node in self.nodes:
            widths[node.name] = node.width
            if node.op == RECAST:
                widths[node.name] = _OTHER_WIDTH.get(widths[node.inputs[0]], "")
            elif not _has_own_width(node):
                widths[node.name] = widths[node.inputs[0]]
        return widths

    def sizes(self, *, input_size: int, hidden_size: int) -> dict[str, int]:
        """Number of units of every value, by name.

        Raises:
            CellError: The cell needs E = H, and they differ.
        """
        recast = next((node for node in self.live_nodes if node.op == RECAST), None)
        if recast is not None and input_size != hidden_size:
            label = f"cell {self.name!r}" if self.name else "cell"
            raise CellError(
                f"{label}: node {recast.name!r} reads {recast.inputs[0]!r} as a value of the other width, so "
                f"the input size must equal the hidden size; they are {input_size} and {hidden_size}"
            )
        known = {INPUT_WIDTH: input_size, HIDDEN_WIDTH: hidden_size}
        return {name: known[width] if width in known else int(width) for name, width in self.widths.items()}

    def parameter_shapes(
        self, *, input_size: int, hidden_size: int, bias: bool = True
    ) -> dict[str, tuple[int, ...]]:
        """Shapes of the weights and biases of one layer in one direction, in order of first use.

        Args:
            input_size: E.
            hidden_size: H.
            bias: Whether the biases that the cell defines are there.

        Returns:
            Name -> (H, E) or (H, H) for a matrix, (H,) for a bias or vector, (1,) for a scalar; E, or a
            number of units, stands for the first H where the node has that width. Nodes without effect have
            none.

        Raises:
            CellError: As in `sizes`.
        """
        sizes = self.sizes(input_size=input_size, hidden_size=hidden_size)
        shapes: dict[str, tuple[int, ...]] = {}
        for node in self.live_nodes:
            rows = sizes[node.name]
            if node.op == LINEAR:
                for weight, source in zip(node.weights, node.inputs, strict=True):
                    shapes[weight] = (rows, sizes[source])
            else:
                shapes |= dict.fromkeys(node.weights, (1,) if node.op == SCALAR else (rows,))
            if bias and node.bias is not None:
                shapes[node.bias] = (rows,)
        return shapes

    @cached_property
    def hash(self) -> str:
        """64 hexadecimal digits that depend on the cell's meaning alone, not on names or listing order."""
        from cellzoo.canonical import content_hash

        return content_hash(self)

    def num_parameters(self, *, input_size: int, hidden_size: int, bias: bool = True) -> int:
        """Count the weights of one layer in one direction; arguments as in `parameter_shapes`."""
        shapes = self.parameter_shapes(input_size=input_size, hidden_size=hidden_size, bias=bias)
        return sum(math.prod(shape) for shape in shapes.values())

    def flops(self, *, input_size: int, hidden_size: int, bias: bool = True) -> int:
        """Count the floating-point operations of one forward step for one token.

        A product with an (m, n) matrix counts 2 m n, a bias its size, and each elementwise primitive what
        `cellzoo.ops` says for an element.
        """
        sizes = self.sizes(input_size=input_size, hidden_size=hidden_size)
        total = 0
        for node in self.live_nodes:
            size = sizes[node.name]
            total += PRIMITIVES[node.op].flops(len(node.inputs)) * size
            if node.op == LINEAR:
                total += sum(2 * size * sizes[source] for source in node.inputs)
                total += size if bias and node.bias is not None else 0
        return total

    def _repr_svg_(self) -> str:
        """The picture of the cell, which notebooks show."""
        from cellzoo.draw import svg

        return svg(self)

    def to_json(self) -> str:
        """Write the cell as JSON text that `from_json` reads."""
        content: dict[str, Any] = {
            "cell_version": _JSON_VERSION,
            "name": self.name,
            "states": [[state.name, state.next, state.width] for state in self.states],
            "nodes": [_node_content(node) for node in self.nodes],
            "output": self.output,
        }
        return json.dumps(content, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Cell:
        """Read what `to_json` wrote.

        Raises:
            CellError: The text is no JSON of a cell, or the cell is invalid.
        """
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise CellError(f"a cell in JSON: not readable: {error}") from error
        if not isinstance(content, dict) or content.get("cell_version") != _JSON_VERSION:
            raise CellError(f"a cell in JSON: expected an object with cell_version {_JSON_VERSION}")
        try:
            states = tuple(State(*map(str, state)) for state in content["states"])
            nodes = tuple(
                Node(
                    str(item["name"]),
                    str(item["op"]),
                    tuple(map(str, item["inputs"])),
                    tuple(map(str, item.get("weights", ()))),
                    None if item.get("bias") is None else str(item["bias"]),
                    str(item.get("width", HIDDEN_WIDTH)),
                )
                for item in content["nodes"]
            )
            return cls(states, nodes, str(content["output"]), name=str(content.get("name", "")))
        except (KeyError, TypeError, ValueError) as error:
            raise CellError(f"a cell in JSON: missing or malformed field: {error}") from error


_OTHER_WIDTH = {INPUT_WIDTH: HIDDEN_WIDTH, HIDDEN_WIDTH: INPUT_WIDTH}


def _has_own_width(node: Node) -> bool:
    return node.op == LINEAR or not node.inputs


def _node_content(node: Node) -> dict[str, Any]:
    content: dict[str, Any] = {"name": node.name, "op": node.op, "inputs": list(node.inputs)}
    if node.weights:
        content["weights"] = list(node.weights)
    if node.bias is not None:
        content["bias"] = node.bias
    if node.width != HIDDEN_WIDTH:
        content["width"] = node.width
    return content


def _check(cell: Cell) -> None:
    label = f"cell {cell.name!r}" if cell.name else "cell"
    if not cell.nodes:
        raise CellError(f"{label}: has no nodes; at least one is needed")
    if len(cell.nodes) > MAX_NODES or len(cell.states) > MAX_STATES:
        raise CellError(
            f"{label}: {len(cell.nodes)} nodes and {len(cell.states)} states; "
            f"at most {MAX_NODES} and {MAX_STATES} are allowed"
        )
    for state in cell.states:
        if state.width not in (HIDDEN_WIDTH, INPUT_WIDTH):
            raise CellError(
                f"{label}: state {state.name!r} has width {state.width!r:.80}; expected hidden or input"
            )
    if not any(state.width == HIDDEN_WIDTH for state in cell.states):
        raise CellError(f"{label}: has no state of the hidden width, so it is not recurrent")
    all_names = {node.name for node in cell.nodes}
    known = {INPUT}
    for state in cell.states:
        _check_name(label, "state", state.name, known)
    for node in cell.nodes:
        _check_node(label, node, known, all_names)
        _check_name(label, "node", node.name, known)
    for state in cell.states:
        if state.next not in known:
            raise CellError(
                f"{label}: state {state.name!r} takes the value {state.next!r}, which does not exist"
            )
    if cell.output not in all_names:
        raise CellError(f"{label}: the output {cell.output!r} is no node")
    _check_widths(label, cell)
    _check_sharing(label, cell)
    if not any(INPUT in node.inputs for node in cell.live_nodes):
        raise CellError(f"{label}: neither the output nor a state depends on the input x")


def _check_name(label: str, kind: str, name: str, known: set[str]) -> None:
    if not _IDENTIFIER.fullmatch(name):
        raise CellError(f"{label}: {kind} name {name!r:.80} {_NAME_RULE}")
    if name in known:
        raise CellError(f"{label}: the name {name!r} is used twice")
    known.add(name)


def _check_node(label: str, node: Node, known: set[str], all_names: Iterable[str]) -> None:
    where = f"{label}: node {node.name!r}"
    if not _IDENTIFIER.fullmatch(node.name):
        raise CellError(f"{label}: node name {node.name!r:.80} {_NAME_RULE}")
    primitive = PRIMITIVES.get(node.op)
    if primitive is None:
        raise CellError(f"{where}: {unknown('operation', node.op, PRIMITIVES)}")
    if primitive.arity is None and not node.inputs:
        raise CellError(f"{where}: {node.op} needs at least one input")
    if primitive.arity is not None and len(node.inputs) != primitive.arity:
        raise CellError(f"{where}: {node.op} takes {primitive.arity} input(s), not {len(node.inputs)}")
    for source in node.inputs:
        if source == node.name:
            raise CellError(f"{where}: reads itself")
        if source not in known:
            later = " yet (it comes later, or the graph has a cycle)" if source in all_names else ""
            raise CellError(f"{where}: reads {source!r}, which does not exist{later}")
    wanted = {LINEAR: len(node.inputs), VECTOR: 1, SCALAR: 1}.get(node.op, 0)
    if len(node.weights) != wanted:
        raise CellError(f"{where}: {node.op} needs {wanted} weight name(s) here, not {len(node.weights)}")
    if node.bias is not None and node.op != LINEAR:
        raise CellError(f"{where}: {node.op} has no bias")
    if node.width != HIDDEN_WIDTH:
        if not _has_own_width(node):
            raise CellError(f"{where}: width is {node.width!r:.80}; {node.op} takes it from its inputs")
        is_number = re.fullmatch(r"[1-9][0-9]{0,5}", node.width) and int(node.width) <= MAX_UNITS
        if node.width != INPUT_WIDTH and not is_number:
            raise CellError(
                f"{where}: width is {node.width!r:.80}; expected hidden, input, or 1 to {MAX_UNITS}"
            )
    for weight in (*node.weights, *([] if node.bias is None else [node.bias])):
        if len(weight) > MAX_WEIGHT_NAME or not weight.isidentifier():
            raise CellError(f"{where}: weight name {weight!r:.80} is not letters, digits and _")


def _check_widths(label: str, cell: Cell) -> None:
    widths = cell.widths
    for node in cell.nodes:
        found = list(dict.fromkeys(widths[source] for source in node.inputs))
        if node.op != LINEAR and len(found) > 1:
            raise CellError(
                f"{label}: node {node.name!r}: {node.op} mixes a value of the {found[0]} width with one of the "
                f"{found[1]} width; project one by a linear node first"
            )
        if node.op == RECAST and found[0] not in _OTHER_WIDTH:
            raise CellError(
                f"{label}: node {node.name!r}: recast reads {node.inputs[0]!r}, which has the {found[0]} "
                "width; expected hidden or input"
            )
    needs = {"the output": (cell.output, HIDDEN_WIDTH)}
    needs |= {f"state {state.name!r}": (state.next, state.width) for state in cell.states}
    for what, (source, width) in needs.items():
        if widths[source] != width:
            raise CellError(
                f"{label}: {what} has the {width} width but takes {source!r}, which has the "
                f"{widths[source]} width; a linear node gives the hidden width"
            )


def _check_sharing(label: str, cell: Cell) -> None:
    """A name stands for one shape: a matrix on the input, a matrix on a hidden value, a vector, ..."""
    kinds: dict[str, str] = {}
    for node in cell.nodes:
        gives = "" if node.width == HIDDEN_WIDTH else f" that gives the {node.width} width"
        uses = [(weight, node.op + (gives if node.op == VECTOR else "")) for weight in node.weights]
        if node.op == LINEAR:
            uses = [
                (weight, f"a matrix on a value of the {cell.widths[source]} width{gives}")
                for weight, source in zip(node.weights, node.inputs, strict=True)
            ]
        if node.bias is not None:
            uses.append((node.bias, f"a bias{gives}"))
        for weight, kind in uses:
            if kinds.setdefault(weight, kind) != kind:
                raise CellError(
                    f"{label}: node {node.name!r}: weight {weight!r} is {kind} here and {kinds[weight]} before"
                )

"""Cell: the graph that every recurrent cell is, however it was published.

A cell maps the input `x` (width E, the input size) and its states (width H, the hidden size) at one time
step to an output and to the next value of each state.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cellzoo.errors import CellError, unknown
from cellzoo.ops import LINEAR, PRIMITIVES

if TYPE_CHECKING:
    from collections.abc import Iterable

INPUT = "x"
MAX_NODES = 1000
MAX_STATES = 32
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
        weights: For `linear`, the weight name for each input; equal names share one matrix.
        bias: For `linear`, the bias name, or None.
    """

    name: str
    op: str
    inputs: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    bias: str | None = None


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
    """A value carried from step to step: `next` names the value that it takes after this step."""

    name: str
    next: str


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
        """Value name -> `input` (E) or `hidden` (H)."""
        widths = {INPUT: "input", **{state.name: "hidden" for state in self.states}}
        for node in self.nodes:
            elementwise = node.op != LINEAR and node.inputs
            widths[node.name] = widths[node.inputs[0]] if elementwise else "hidden"
        return widths

    @cached_property
    def weight_widths(self) -> dict[str, str]:
        """Weight name -> width of its input, in order of first use by a live node."""
        return {
            weight: self.widths[source]
            for node in self.live_nodes
            for weight, source in zip(node.weights, node.inputs, strict=False)
        }

    @cached_property
    def biases(self) -> tuple[str, ...]:
        """Bias names, in order of first use by a live node."""
        return tuple(dict.fromkeys(node.bias for node in self.live_nodes if node.bias is not None))

    @cached_property
    def hash(self) -> str:
        """64 hexadecimal digits that depend on the cell's meaning alone, not on names or listing order."""
        from cellzoo.canonical import content_hash

        return content_hash(self)

    def num_parameters(self, *, input_size: int, hidden_size: int, bias: bool = True) -> int:
        """Count the weights of one layer in one direction.

        Args:
            input_size: E.
            hidden_size: H.
            bias: Whether the module is built with the biases that the cell defines.
        """
        sizes = {"input": input_size, "hidden": hidden_size}
        products = sum(hidden_size * sizes[width] for width in self.weight_widths.values())
        return products + (hidden_size * len(self.biases) if bias else 0)

    def flops(self, *, input_size: int, hidden_size: int, bias: bool = True) -> int:
        """Count the floating-point operations of one forward step for one token.

        A product with a (H, n) matrix counts 2 H n, a bias H, and each elementwise primitive what
        `cellzoo.ops` says for an element.
        """
        sizes = {"input": input_size, "hidden": hidden_size}
        total = 0
        for node in self.live_nodes:
            total += PRIMITIVES[node.op].flops(len(node.inputs)) * sizes[self.widths[node.name]]
            if node.op == LINEAR:
                total += sum(2 * hidden_size * sizes[self.widths[source]] for source in node.inputs)
                total += hidden_size if bias and node.bias is not None else 0
        return total

    def to_json(self) -> str:
        """Write the cell as JSON text that `from_json` reads."""
        content: dict[str, Any] = {
            "cell_version": _JSON_VERSION,
            "name": self.name,
            "states": [[state.name, state.next] for state in self.states],
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
        except (json.JSONDecodeError, RecursionError) as error:
            raise CellError(f"a cell in JSON: not readable: {error}") from error
        if not isinstance(content, dict) or content.get("cell_version") != _JSON_VERSION:
            raise CellError(f"a cell in JSON: expected an object with cell_version {_JSON_VERSION}")
        try:
            states = tuple(State(str(name), str(after)) for name, after in content["states"])
            nodes = tuple(
                Node(
                    str(item["name"]),
                    str(item["op"]),
                    tuple(map(str, item["inputs"])),
                    tuple(map(str, item.get("weights", ()))),
                    None if item.get("bias") is None else str(item["bias"]),
                )
                for item in content["nodes"]
            )
            return cls(states, nodes, str(content["output"]), name=str(content.get("name", "")))
        except (KeyError, TypeError, ValueError) as error:
            raise CellError(f"a cell in JSON: missing or malformed field: {error}") from error


def _node_content(node: Node) -> dict[str, Any]:
    content: dict[str, Any] = {"name": node.name, "op": node.op, "inputs": list(node.inputs)}
    if node.op == LINEAR:
        content["weights"] = list(node.weights)
        content["bias"] = node.bias
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
    if not cell.states:
        raise CellError(f"{label}: has no state, so it is not recurrent")
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
    if node.op == LINEAR:
        if len(node.weights) != len(node.inputs):
            raise CellError(f"{where}: {len(node.weights)} weight names for {len(node.inputs)} inputs")
        for weight in (*node.weights, *([node.bias] if node.bias is not None else [])):
            if len(weight) > 200 or not weight.isidentifier():
                raise CellError(f"{where}: weight name {weight!r:.80} is not letters, digits and _")
    elif node.weights or node.bias is not None:
        raise CellError(f"{where}: {node.op} has no weights")


def _check_widths(label: str, cell: Cell) -> None:
    widths = cell.widths
    for node in cell.nodes:
        if node.op != LINEAR and len({widths[source] for source in node.inputs}) > 1:
            raise CellError(
                f"{label}: node {node.name!r}: {node.op} mixes a value of the input's width with one of the "
                "hidden width; project the input by a linear node first"
            )
    needs_hidden = {"the output": cell.output}
    needs_hidden |= {f"state {state.name!r}": state.next for state in cell.states}
    for what, source in needs_hidden.items():
        if widths[source] != "hidden":
            raise CellError(
                f"{label}: {what} takes {source!r}, which has the input's width; "
                "project it by a linear node first"
            )
    shared: dict[str, str] = {}
    kinds: dict[str, str] = {}
    for node in cell.nodes:
        for weight, source in zip(node.weights, node.inputs, strict=False):
            if shared.setdefault(weight, widths[source]) != widths[source]:
                raise CellError(
                    f"{label}: node {node.name!r}: weight {weight!r} is shared by inputs of two widths"
                )
            kinds[weight] = "weight"
        if node.bias is not None and kinds.setdefault(node.bias, "bias") == "weight":
            raise CellError(f"{label}: node {node.name!r}: {node.bias!r} names a weight and a bias")
    for node in cell.nodes:
        if node.bias is not None and node.bias in shared:
            raise CellError(f"{label}: node {node.name!r}: {node.bias!r} names a weight and a bias")

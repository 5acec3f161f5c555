"""Validation of a graph: names, inputs, widths, and consistent use of shared weights."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from cellzoo.cells.graph import HIDDEN_WIDTH, INPUT, INPUT_WIDTH, OTHER_WIDTH
from cellzoo.cells.ops import CONSTANT, LINEAR, PRIMITIVES, RECAST, SCALAR, VECTOR
from cellzoo.errors import CellError, unknown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cellzoo.cells.graph import CellGraph, Node

MAX_NODES = 1000
MAX_STATES = 32
# In total over all nodes.
MAX_INPUTS = 20_000
MAX_WEIGHT_NAME = 200
MAX_UNITS = 100_000
MAX_HEADS = 1000
# Representable in every floating-point type that cells run in, except half precision.
LEAST_CONSTANT, MOST_CONSTANT = 1e-30, 1e30
_NAME_RULE = "is not a letter or _ followed by at most 63 letters, digits or _"
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def check_graph(graph: CellGraph) -> None:
    """Check a graph.

    Raises:
        CellError: It is not a valid cell; the message names the node and what would be right.
    """
    label = f"cell {graph.name!r:.80}" if graph.name else "cell"
    if not graph.nodes:
        raise CellError(f"{label}: has no nodes; at least one is needed")
    if len(graph.nodes) > MAX_NODES or len(graph.states) > MAX_STATES:
        raise CellError(
            f"{label}: {len(graph.nodes)} nodes and {len(graph.states)} states; "
            f"at most {MAX_NODES} and {MAX_STATES} are allowed"
        )
    inputs = sum(len(node.inputs) for node in graph.nodes)
    if inputs > MAX_INPUTS:
        raise CellError(f"{label}: its nodes have {inputs} inputs together; at most {MAX_INPUTS} are allowed")
    for state in graph.states:
        if state.width not in (HIDDEN_WIDTH, INPUT_WIDTH):
            raise CellError(
                f"{label}: state {state.name!r} has width {state.width!r:.80}; expected hidden or input"
            )
    if not any(state.width == HIDDEN_WIDTH for state in graph.states):
        raise CellError(f"{label}: has no state of the hidden width, so it is not recurrent")
    all_names = {node.name for node in graph.nodes}
    known = {INPUT}
    for state in graph.states:
        _check_name(label, "state", state.name, known)
    for node in graph.nodes:
        _check_node(label, node, known, all_names)
        _check_name(label, "node", node.name, known)
    for state in graph.states:
        if state.next not in known:
            raise CellError(
                f"{label}: state {state.name!r} takes the value {state.next!r:.80}, which does not exist"
            )
    if graph.output not in all_names:
        raise CellError(f"{label}: the output {graph.output!r:.80} is not a node")
    _check_widths(label, graph)
    _check_sharing(label, graph)
    if not any(INPUT in node.inputs for node in graph.live_nodes):
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
        raise CellError(f"{where}: {unknown('operation', node.op[:80], PRIMITIVES)}")
    if primitive.arity is None and not node.inputs:
        raise CellError(f"{where}: {node.op} needs at least one input")
    if primitive.arity is not None and len(node.inputs) != primitive.arity:
        raise CellError(f"{where}: {node.op} takes {primitive.arity} input(s), not {len(node.inputs)}")
    for source in node.inputs:
        if source == node.name:
            raise CellError(f"{where}: reads itself")
        if source not in known:
            later = " yet (it comes later, or the graph has a cycle)" if source in all_names else ""
            raise CellError(f"{where}: reads {source!r:.80}, which does not exist{later}")
    wanted = {LINEAR: len(node.inputs), VECTOR: 1, SCALAR: 1}.get(node.op, 0)
    if len(node.weights) != wanted:
        raise CellError(f"{where}: {node.op} needs {wanted} weight name(s) here, not {len(node.weights)}")
    if node.bias is not None and node.op != LINEAR:
        raise CellError(f"{where}: {node.op} has no bias")
    if node.heads != 1 and (node.op != LINEAR or not 1 <= node.heads <= MAX_HEADS):
        raise CellError(
            f"{where}: heads is {node.heads!r:.40}; expected 1 to {MAX_HEADS}, and 1 for all but linear"
        )
    _check_constant(where, node)
    if node.width != HIDDEN_WIDTH:
        if not node.has_own_width:
            raise CellError(f"{where}: width is {node.width!r:.80}; {node.op} takes it from its inputs")
        is_number = re.fullmatch(r"[1-9][0-9]{0,5}", node.width) and int(node.width) <= MAX_UNITS
        if node.width != INPUT_WIDTH and not is_number:
            raise CellError(
                f"{where}: width is {node.width!r:.80}; expected hidden, input, or 1 to {MAX_UNITS}"
            )
    for weight in (*node.weights, *([] if node.bias is None else [node.bias])):
        if len(weight) > MAX_WEIGHT_NAME or not weight.isidentifier():
            raise CellError(f"{where}: weight name {weight!r:.80} is not letters, digits and _")


def _check_constant(where: str, node: Node) -> None:
    if node.op != CONSTANT:
        if node.value is not None:
            raise CellError(f"{where}: {node.op} has no value")
        return
    value = node.value
    if value is None or not math.isfinite(value):
        raise CellError(f"{where}: the constant is {value!r:.40}; expected a finite number")
    if value in (0.0, 1.0):
        raise CellError(f"{where}: the constant {value:g} is the operation {'one' if value else 'zero'}")
    if not LEAST_CONSTANT <= abs(value) <= MOST_CONSTANT:
        raise CellError(
            f"{where}: the constant is {value!r}; expected 0, or a size of {LEAST_CONSTANT:g} to "
            f"{MOST_CONSTANT:g}"
        )


def _check_widths(label: str, graph: CellGraph) -> None:
    widths = graph.widths
    for node in graph.nodes:
        found = list(dict.fromkeys(widths[source] for source in node.inputs))
        if node.op != LINEAR and len(found) > 1:
            raise CellError(
                f"{label}: node {node.name!r}: {node.op} mixes a value of the {found[0]} width with one of the "
                f"{found[1]} width; project one by a linear node first"
            )
        if node.op == RECAST and found[0] not in OTHER_WIDTH:
            raise CellError(
                f"{label}: node {node.name!r}: recast reads {node.inputs[0]!r}, which has the {found[0]} "
                "width; expected hidden or input"
            )
    needs = {"the output": (graph.output, HIDDEN_WIDTH)}
    needs |= {f"state {state.name!r}": (state.next, state.width) for state in graph.states}
    for what, (source, width) in needs.items():
        if widths[source] != width:
            raise CellError(
                f"{label}: {what} has the {width} width but takes {source!r}, which has the "
                f"{widths[source]} width; a linear node gives the hidden width"
            )


def _check_sharing(label: str, graph: CellGraph) -> None:
    """Check that all uses of a weight need the same shape: a matrix on x, on a hidden value, a vector, ..."""
    kinds: dict[str, str] = {}
    for node in graph.nodes:
        gives = "" if node.width == HIDDEN_WIDTH else f" that gives the {node.width} width"
        blocks = "" if node.heads == 1 else f" by {node.heads} heads"
        uses = [(weight, node.op + (gives if node.op == VECTOR else "")) for weight in node.weights]
        if node.op == LINEAR:
            uses = [
                (weight, f"a matrix on a value of the {graph.widths[source]} width{gives}{blocks}")
                for weight, source in zip(node.weights, node.inputs, strict=True)
            ]
        if node.bias is not None:
            uses.append((node.bias, f"a bias{gives}"))
        for weight, kind in uses:
            if kinds.setdefault(weight, kind) != kind:
                raise CellError(
                    f"{label}: node {node.name!r}: weight {weight!r} is {kind} here and {kinds[weight]} before"
                )

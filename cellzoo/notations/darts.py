"""DARTS recurrent genotypes.

Text: `Genotype(recurrent=[('relu', 0), ...], concat=range(1, 9))`. Data: a mapping with the same two keys.

Semantics (Liu et al. 2019, "DARTS", section 2.1 and appendix; settled by rnn/model.py of quark0/darts):

    s_0 = h + sigmoid(c_0) * (tanh(u_0) - h),        [c_0, u_0] = W_0 [x, h]
    s_i = s_p + sigmoid(c_i) * (f_i(u_i) - s_p),     [c_i, u_i] = W_i s_p,   p = predecessor of i
    h'  = mean of s_j over j in concat

No biases. Dropout masks act on x, h and s_p where a matrix multiplies them, never on the carried value.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cellzoo.cell import Cell, Node, State, linear
from cellzoo.errors import NotationError, unknown

OPERATIONS = ("tanh", "relu", "sigmoid", "identity")
# Of some published cells, but no part of the space that searches and random draws run in.
MORE_OPERATIONS = ("selu",)
MAX_TEXT = 20_000
MAX_STEPS = 100
_FORM = "Genotype(recurrent=[('relu', 0), ...], concat=range(1, 9))"


@dataclass(frozen=True)
class Genotype:
    """A DARTS genotype: node i + 1 applies `recurrent[i][0]` to state `recurrent[i][1]`; state 0 is s_0."""

    recurrent: tuple[tuple[str, int], ...]
    concat: tuple[int, ...]

    def __str__(self) -> str:
        edges = ", ".join(f"({op!r}, {predecessor})" for op, predecessor in self.recurrent)
        first, last = self.concat[0], self.concat[-1]
        consecutive = self.concat == tuple(range(first, last + 1))
        concat = f"range({first}, {last + 1})" if consecutive else str(list(self.concat))
        return f"Genotype(recurrent=[{edges}], concat={concat})"


def parse(source: str | Mapping[str, Any] | Genotype, name: str = "") -> Cell:
    """Read a genotype as a Cell with one state, h.

    Raises:
        NotationError: The text or data is no genotype; the message names the edge and what would be right.
    """
    return to_cell(read_genotype(source), name)


def read_genotype(source: str | Mapping[str, Any] | Genotype) -> Genotype:
    """Read and check a genotype from text or data.

    Raises:
        NotationError: As in `parse`.
    """
    if isinstance(source, Genotype):
        return _checked(source.recurrent, source.concat)
    content = _literal(source) if isinstance(source, str) else source
    if not isinstance(content, Mapping):
        raise NotationError(f"DARTS genotype: expected {_FORM}, found {content!r:.80}")
    missing = {"recurrent", "concat"} - set(content)
    extra = {str(key) for key in content} - {"recurrent", "concat"}
    if missing or extra:
        fault = f"lacks {min(missing)!r}" if missing else f"has an unknown part {min(extra)!r:.80}"
        raise NotationError(f"DARTS genotype: {fault}; expected {_FORM}")
    return _checked(content["recurrent"], content["concat"])


def to_cell(genotype: Genotype, name: str = "") -> Cell:
    """Build the graph of a genotype."""
    nodes: list[Node] = [
        linear("c0", "x", "h", bias=False),
        linear("u0", "x", "h", bias=False),
        Node("gate0", "sigmoid", ("c0",)),
        Node("cand0", "tanh", ("u0",)),
        Node("s0", "blend", ("gate0", "cand0", "h")),
    ]
    for step, (op, predecessor) in enumerate(genotype.recurrent, start=1):
        source = f"s{predecessor}"
        nodes += [
            linear(f"c{step}", source, bias=False),
            linear(f"u{step}", source, bias=False),
            Node(f"gate{step}", "sigmoid", (f"c{step}",)),
            Node(f"cand{step}", op, (f"u{step}",)),
            Node(f"s{step}", "blend", (f"gate{step}", f"cand{step}", source)),
        ]
    nodes.append(Node("h_next", "mean", tuple(f"s{index}" for index in genotype.concat)))
    return Cell((State("h", "h_next"),), tuple(nodes), "h_next", name=name)


def _literal(text: str) -> Any:
    """Read `Genotype(...)`, a dict literal, or JSON, without evaluating anything."""
    if len(text) > MAX_TEXT:
        raise NotationError(f"DARTS genotype: {len(text)} characters; at most {MAX_TEXT} are read")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        return _value(tree)
    except SyntaxError as error:
        place = f"line {error.lineno}, column {error.offset}"
        raise NotationError(f"DARTS genotype: {place}: {error.msg}; expected {_FORM}") from error
    except (RecursionError, MemoryError, ValueError) as error:
        raise NotationError(f"DARTS genotype: not readable ({error}); expected {_FORM}") from error


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if (
        isinstance(node, ast.UnaryOp)
        and isinstance(node.op, ast.USub)
        and isinstance(node.operand, ast.Constant)
    ):
        return f"-{node.operand.value!r}"
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(item) for item in node.elts]
    if isinstance(node, ast.Dict):
        keys = [None if key is None else _value(key) for key in node.keys]
        if not all(isinstance(key, str) for key in keys):
            raise ValueError("a key is not text")
        return dict(zip(keys, [_value(item) for item in node.values], strict=True))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if node.func.id == "range" and not node.keywords and 1 <= len(node.args) <= 2:
            bounds = [_value(item) for item in node.args]
            if all(type(bound) is int and 0 <= bound <= MAX_STEPS + 1 for bound in bounds):
                return list(range(*bounds))
            raise ValueError(f"range{tuple(bounds)} is out of 0 to {MAX_STEPS + 1}")
        if node.func.id == "Genotype" and not node.args:
            return {keyword.arg or "**": _value(keyword.value) for keyword in node.keywords}
    raise ValueError(f"{ast.unparse(node)[:80]!r} at column {node.col_offset + 1} is no part of a genotype")


def _checked(recurrent: Any, concat: Any) -> Genotype:
    if isinstance(recurrent, str) or not isinstance(recurrent, Sequence) or not recurrent:
        raise NotationError(
            f"DARTS genotype: recurrent is {recurrent!r:.80}; expected at least one (op, predecessor)"
        )
    if len(recurrent) > MAX_STEPS:
        raise NotationError(f"DARTS genotype: {len(recurrent)} nodes; at most {MAX_STEPS} are read")
    edges = [_checked_edge(step, edge) for step, edge in enumerate(recurrent, start=1)]
    if isinstance(concat, str) or not isinstance(concat, Sequence) or not concat:
        raise NotationError(f"DARTS genotype: concat is {concat!r:.80}; expected at least one state")
    for index in concat:
        if type(index) is not int or not 0 <= index <= len(edges):
            raise NotationError(
                f"DARTS genotype: concat names state {index!r:.80}; the states are 0 to {len(edges)}"
            )
    if len(set(concat)) != len(concat):
        raise NotationError(f"DARTS genotype: concat {list(concat)} names a state twice")
    return Genotype(tuple(edges), tuple(concat))


def _checked_edge(step: int, edge: Any) -> tuple[str, int]:
    where = f"DARTS genotype: node {step}"
    if isinstance(edge, str) or not isinstance(edge, Sequence) or len(edge) != 2:
        raise NotationError(f"{where}: {edge!r:.80} is no (op, predecessor)")
    op, predecessor = edge
    if op == "none":
        raise NotationError(f"{where}: 'none' is an operation of the search only, never of a derived cell")
    if not isinstance(op, str) or op not in (*OPERATIONS, *MORE_OPERATIONS):
        known = (*OPERATIONS, *MORE_OPERATIONS)
        raise NotationError(f"{where}: {unknown('operation', str(op)[:80], known)}")
    if type(predecessor) is not int or not 0 <= predecessor < step:
        allowed = "only 0 exists" if step == 1 else f"0 to {step - 1} exist"
        raise NotationError(f"{where}: predecessor {predecessor!r:.80} does not exist yet; {allowed}")
    return op, predecessor

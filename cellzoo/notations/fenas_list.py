"""FENAS node lists as data: parser, checks and graph builder; `fenas.py` describes the notation."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cellzoo.cells.cell import Cell
from cellzoo.cells.graph import INPUT, Node, State
from cellzoo.cells.ops import LINEAR
from cellzoo.errors import NotationError
from cellzoo.notations.within import read_within

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_TEXT = 20_000
MAX_NODES = 100
ACTIVATIONS = {"tanh": "tanh", "relu": "relu", "id": "identity", "sig": "sigmoid"}
SYMBOLS = {"+": "add", "-": "subtract", "*": "multiply"}
WEIGHTED = tuple(f"A_{activation}" for activation in ACTIVATIONS)
PLAIN = tuple(f"a_{activation}" for activation in ACTIVATIONS)
SKIP = tuple(f"S_{activation}" for activation in ACTIVATIONS if activation != "id")
FUNCTIONS = (*SYMBOLS, *WEIGHTED, *PLAIN, *SKIP)
ZERO = "0"
PROJECTION = "x_projected"
_FORM = "n1 = A_sig(x, h) or n2 = n1 * h"
_CALL = re.compile(r"(\w+)\s*\(\s*(\w+)\s*(?:,\s*(\w+)\s*)?\)", re.ASCII)
_INFIX = re.compile(r"(\w+)\s*([-+*])\s*(\w+)", re.ASCII)
_BEGINNING = re.compile(r"(?<![\w(])(?:n\d+|c')\s*=", re.ASCII)
_STATEMENT = re.compile(r"(\w+'?)\s*=\s*(.*)", re.ASCII)


@dataclass(frozen=True)
class Gene:
    """One node: its function, of `FUNCTIONS`, and its two inputs."""

    function: str
    first: str
    second: str = ZERO

    def __str__(self) -> str:
        if self.function in SYMBOLS:
            return f"{self.first} {self.function} {self.second}"
        return f"{self.function}({self.first}{'' if self.second == ZERO else f', {self.second}'})"


@dataclass(frozen=True)
class Architecture:
    """A FENAS cell: node k is `genes[k - 1]`; `memory` names the node that is the next c, or is None."""

    genes: tuple[Gene, ...]
    memory: str | None = None

    def __str__(self) -> str:
        lines = [f"n{number} = {gene}" for number, gene in enumerate(self.genes, start=1)]
        return "\n".join([*lines, *([] if self.memory is None else [f"c' = {self.memory}"])]) + "\n"


def read_architecture(source: Any) -> Architecture:
    """Read and check a node list: a text, a list of lines, or the one such text within a log, JSON or a dict.

    Raises:
        NotationError: The text is not a node list; the message names the node and what would be right.
    """
    return read_within(source, _read, label="FENAS", example=_FORM, largest=MAX_TEXT)


def _read(source: str) -> Architecture:
    if len(source) > MAX_TEXT:
        raise NotationError(f"FENAS: {len(source)} characters; at most {MAX_TEXT} are read")
    lines = [line.split("#", 1)[0] for line in source.split("\n")]
    try:
        return _read_lines(lines)
    except NotationError:
        # Retry without what precedes a node on its line, and without lines that have no node: parts of a log.
        # Text before a node that contains an equals sign is an equation, and so an error.
        places = [(line, found.start() if (found := _BEGINNING.search(line)) else len(line)) for line in lines]
        if any("=" in line[:place] for line, place in places) or not any(place for _, place in places):
            raise
        with suppress(NotationError):
            return _read_lines([line[place:] for line, place in places])
        raise


def _read_lines(lines: Sequence[str]) -> Architecture:
    statements = [part for line in lines for text in line.split(";") if (part := text.strip())]
    genes: list[Gene] = []
    memory: str | None = None
    for number, text in enumerate(statements, start=1):
        match = _STATEMENT.fullmatch(text)
        if match is None:
            raise NotationError(f"FENAS: statement {number}: {text[:80]!r}; expected {_FORM}")
        target, right = match.groups()
        wanted = f"n{len(genes) + 1}"
        if memory is not None:
            raise NotationError(f"FENAS: {target!r:.80} comes after c'; the line c' = ... is the last")
        if target == "c'":
            if right not in {f"n{index}" for index in range(1, len(genes) + 1)}:
                raise NotationError(f"FENAS: c' is {right[:80]!r}; expected one of the nodes before it")
            memory = right
        elif target == wanted:
            genes.append(_read_gene(wanted, right, len(genes)))
        else:
            raise NotationError(
                f'FENAS: statement {number}: found {target[:80]!r}, expected {wanted!r} or "c\'"'
            )
        if len(genes) > MAX_NODES:
            raise NotationError(f"FENAS: more than {MAX_NODES} nodes; no more are read")
    if not genes:
        raise NotationError(f"FENAS: no nodes; expected {_FORM}")
    if memory is None and any("c" in (gene.first, gene.second) for gene in genes):
        raise NotationError("FENAS: c is read, but no last line such as c' = n1 says what its next value is")
    return Architecture(tuple(genes), memory)


def to_cell(architecture: Architecture, name: str = "") -> Cell:
    """Build the graph of a node list."""
    nodes: list[Node] = []
    for number, gene in enumerate(architecture.genes, start=1):
        nodes += _build(f"n{number}", gene)
    if any(PROJECTION in node.inputs for node in nodes):
        nodes.insert(0, Node(PROJECTION, LINEAR, (INPUT,), (f"{PROJECTION}_0",)))
    states = [State("h", nodes[-1].name)]
    if architecture.memory is not None:
        states.append(State("c", architecture.memory))
    return Cell(tuple(states), tuple(nodes), nodes[-1].name, name=name)


def _read_gene(name: str, text: str, existing: int) -> Gene:
    if match := _CALL.fullmatch(text):
        function, first, second = match.groups()
        if function not in FUNCTIONS:
            known = ", ".join(FUNCTIONS)
            raise NotationError(f"FENAS: {name}: unknown function {function[:80]!r}; the functions are {known}")
    elif match := _INFIX.fullmatch(text):
        first, function, second = match.groups()
    else:
        raise NotationError(f"FENAS: {name}: {text[:80]!r} is not a node; expected {_FORM}")
    gene = Gene(function, first, second or ZERO)
    inputs = (gene.first, gene.second)
    for source in inputs:
        if source not in ("x", "h", "c", ZERO) and source not in {f"n{k}" for k in range(1, existing + 1)}:
            nodes = f" and n1 to n{existing}" if existing else ""
            raise NotationError(f"FENAS: {name}: input {source[:80]!r} does not exist; x, h, c, 0{nodes} do")
    if inputs == (ZERO, ZERO) or (function == "*" and ZERO in inputs):
        raise NotationError(f"FENAS: {name}: {gene} is constant; expected an input other than 0")
    return gene


def _build(name: str, gene: Gene) -> list[Node]:
    """Build the nodes of one gene; the last one is named `name`."""
    real = tuple(source for source in (gene.first, gene.second) if source != ZERO)
    plain = tuple(PROJECTION if source == INPUT else source for source in real)
    if gene.function in SYMBOLS:
        if len(plain) == 2:
            return [Node(name, SYMBOLS[gene.function], plain)]
        if gene.function == "-" and gene.first == ZERO:
            return [Node(f"{name}_zero", "zero"), Node(name, "subtract", (f"{name}_zero", *plain))]
        return [Node(name, "identity", plain)]
    kind, activation = gene.function.split("_")
    op = ACTIVATIONS[activation]
    if kind == "A":
        if op == "identity":
            return [_product(name, real)]
        return [_product(f"{name}_u", real), Node(name, op, (f"{name}_u",))]
    total = plain[0] if len(plain) == 1 else f"{name}_sum"
    sums = [Node(total, "add", plain)] if len(plain) == 2 else []
    if kind == "a":
        return [*sums, Node(name, op, (total,))]
    return [
        *sums,
        _product(f"{name}_c", real),
        _product(f"{name}_u", real),
        Node(f"{name}_gate", "sigmoid", (f"{name}_c",)),
        Node(f"{name}_cand", op, (f"{name}_u",)),
        Node(name, "blend", (f"{name}_gate", f"{name}_cand", total)),
    ]


def _product(name: str, inputs: tuple[str, ...]) -> Node:
    weights = tuple(f"{name}_{position}" for position in range(len(inputs)))
    return Node(name, LINEAR, inputs, weights, f"{name}_b")

"""Node lists of FENAS (Pasunuru & Bansal 2020, FENAS: Flexible and Expressive Neural Architecture Search).

    n1 = A_sig(x, h); n2 = A_sig(x, h); n3 = A_sig(x, h); n4 = A_tanh(x, h); n5 = n2 * c; n6 = n1 * n4
    n7 = n5 + n6; n8 = a_tanh(n7); n9 = n3 * n8
    c' = n7

Nodes are numbered in order, one a line or separated by `;`. Each has two inputs among x, h, c, the zero node 0
and earlier nodes; a second input 0 may be left out. The functions of section 3.1 are 14; f is tanh, relu, id
(identity) or sig (sigmoid):

    i + j, i - j, i * j
    A_f(i, j) = f(W_i i + W_j j + b)
    a_f(i, j) = f(i + j)
    S_f(i, j) = (1 - g) * (i + j) + g * f(W_i i + W_j j + b),  g = sig(V_i i + V_j j + d),  f not id

The last node is the output and the next h. A cell with c has a last line that names the node which is the next
c. Nodes without effect are pruned. Where x stands without a weight (in +, -, *, a_f and the sum of S_f) it
is first projected to the width of h by one learned matrix without bias, the same for all such places.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellzoo.cells.cell import INPUT, Cell, Node, State
from cellzoo.cells.ops import LINEAR
from cellzoo.errors import NotationError

if TYPE_CHECKING:
    import random

MAX_TEXT = 20_000
MAX_NODES = 100
NODES = 9
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


def parse(source: str, name: str = "") -> Cell:
    """Read a node list as a Cell with the state h, or h and c.

    Raises:
        NotationError: The text is no node list; the message names the node and what would be right.
        CellError: It reads as a graph that is no valid cell.
    """
    return to_cell(read_architecture(source), name)


def write(cell: Cell) -> str:
    """Write a cell as a node list; equal graphs give equal texts.

    Raises:
        NotationError: The cell cannot be said in this notation; the message says why.
    """
    from cellzoo.notations.fenas_writer import to_architecture

    text = str(to_architecture(cell))
    if len(text) > MAX_TEXT:
        raise NotationError(f"FENAS: the text has {len(text)} characters; at most {MAX_TEXT} are read")
    return text


def sample(generator: random.Random, *, nodes: int = NODES, memory: bool | None = None) -> str:
    """Draw a node list: functions and inputs are uniform.

    A product with 0 and a node that reads 0 twice are not drawn. Lists whose output does not depend on x and
    every state, at once or by the next c, are drawn again.

    Args:
        generator: Source of randomness.
        nodes: Number of nodes, those without effect included.
        memory: Whether the cell has c; None draws that, too. The next c is a uniform node.
    """
    has_memory = generator.random() < 0.5 if memory is None else memory
    while True:
        values = ["x", "h", *(["c"] if has_memory else []), ZERO]
        genes: list[Gene] = []
        while len(genes) < nodes:
            gene = Gene(generator.choice(FUNCTIONS), generator.choice(values), generator.choice(values))
            zeros = (gene.first, gene.second).count(ZERO)
            if zeros == 0 or (zeros == 1 and gene.function != "*"):
                genes.append(gene)
                values.append(f"n{len(genes)}")
        next_c = f"n{generator.randint(1, nodes)}" if has_memory else None
        reached = _reached(genes, next_c)
        if {"x", "h", *(["c"] if has_memory else [])} <= reached:
            return str(Architecture(tuple(genes), next_c))


def read_architecture(source: str) -> Architecture:
    """Read and check a node list.

    Raises:
        NotationError: As in `parse`.
    """
    if not isinstance(source, str):
        raise NotationError(f"FENAS: expected text such as {_FORM}, found {type(source).__name__}")
    if len(source) > MAX_TEXT:
        raise NotationError(f"FENAS: {len(source)} characters; at most {MAX_TEXT} are read")
    statements = [part for line in source.split("\n") for text in line.split(";") if (part := text.strip())]
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
        raise NotationError(f"FENAS: no node; expected {_FORM}")
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
        raise NotationError(f"FENAS: {name}: {text[:80]!r} is no node; expected {_FORM}")
    gene = Gene(function, first, second or ZERO)
    inputs = (gene.first, gene.second)
    for source in inputs:
        if source not in ("x", "h", "c", ZERO) and source not in {f"n{k}" for k in range(1, existing + 1)}:
            nodes = f" and n1 to n{existing}" if existing else ""
            raise NotationError(f"FENAS: {name}: input {source[:80]!r} does not exist; x, h, c, 0{nodes} do")
    if inputs == (ZERO, ZERO) or (function == "*" and ZERO in inputs):
        raise NotationError(f"FENAS: {name}: {gene} would be the same whatever is read; give it a real input")
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


def _reached(genes: list[Gene], memory: str | None) -> set[str]:
    """Return what the last node depends on at this step or by the c of the step before, itself included."""
    reached, waiting = set[str](), [f"n{len(genes)}"]
    while waiting:
        value = waiting.pop()
        if value in reached:
            continue
        reached.add(value)
        if value == "c" and memory is not None:
            waiting.append(memory)
        elif value.startswith("n"):
            gene = genes[int(value[1:]) - 1]
            waiting += [gene.first, gene.second]
    return reached

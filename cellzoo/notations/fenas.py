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
c. Dead nodes are pruned. Where x stands without a weight (in +, -, *, a_f and the sum of S_f) it
is first projected to the width of h by one learned matrix without bias, the same for all such places.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellzoo.errors import NotationError
from cellzoo.notations.fenas_list import (
    FUNCTIONS,
    MAX_TEXT,
    ZERO,
    Architecture,
    Gene,
    read_architecture,
    to_cell,
)
from cellzoo.notations.fenas_writer import to_architecture

if TYPE_CHECKING:
    import random

    from cellzoo.cells.cell import Cell

NODES = 9


def parse(source: str, name: str = "") -> Cell:
    """Read a node list as a Cell with the state h, or h and c.

    Raises:
        NotationError: The text is not a node list; the message names the node and what would be right.
        CellError: It reads as a graph that is not a valid cell.
    """
    return to_cell(read_architecture(source), name)


def write(cell: Cell) -> str:
    """Write a cell as a node list; equal graphs give equal texts.

    Raises:
        NotationError: The cell cannot be written in this notation; the message says why.
    """
    text = str(to_architecture(cell))
    if len(text) > MAX_TEXT:
        raise NotationError(f"FENAS: the text has {len(text)} characters; at most {MAX_TEXT} are read")
    return text


def sample(generator: random.Random, *, nodes: int = NODES, memory: bool | None = None) -> str:
    """Draw a node list: functions and inputs are uniform, and all valid lists of a size are equally likely.

    Args:
        generator: Source of randomness.
        nodes: Number of nodes, dead ones included.
        memory: Whether the cell has c; None draws this, too. The next c is a uniform node.

    Raises:
        ValueError: There are too few nodes to read x, h and, with memory, c.
    """
    least = 1 if memory is False else 2
    if nodes < least:
        raise ValueError(f"nodes is {nodes}; expected at least {least}")
    has_memory = generator.random() < 0.5 if memory is None else memory
    while True:
        values = ["x", "h", *(["c"] if has_memory else []), ZERO]
        genes: list[Gene] = []
        while len(genes) < nodes:
            gene = Gene(generator.choice(FUNCTIONS), generator.choice(values), generator.choice(values))
            if _has_effect(gene):
                genes.append(gene)
                values.append(f"n{len(genes)}")
        drawn = Architecture(tuple(genes), f"n{generator.randint(1, nodes)}" if has_memory else None)
        if is_valid(drawn):
            return str(drawn)


def is_valid(architecture: Architecture) -> bool:
    """Whether `sample` may return a node list.

    No product has 0 as an input and no node reads 0 twice; the output depends on x and every state, in the same
    step or through c.
    """
    states = {"h"} if architecture.memory is None else {"h", "c"}
    return all(map(_has_effect, architecture.genes)) and {"x", *states} <= _reached(architecture)


def _has_effect(gene: Gene) -> bool:
    zeros = (gene.first, gene.second).count(ZERO)
    return zeros == 0 or (zeros == 1 and gene.function != "*")


def _reached(architecture: Architecture) -> set[str]:
    """Return the values that the last node depends on, itself included, in the same step or through c."""
    genes, memory = architecture.genes, architecture.memory
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

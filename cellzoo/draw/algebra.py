"""A cell as equations for people: which nodes get a line of their own, and how each line is composed.

A `Spelling` says how names, weights and functions are written: in plain text or in LaTeX.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Protocol

from cellzoo.cells.ops import LINEAR, SCALAR, VECTOR
from cellzoo.draw.compounds import overview_groups
from cellzoo.draw.names import display_names, is_auxiliary

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cellzoo.cells.graph import CellGraph, Node

# Operator precedence, from loose to tight: an operand of a lower one needs parentheses.
SUM, MATRIX, PRODUCT, ATOM = range(4)

# A right-hand side with more values, or nested deeper, is broken up into several lines.
MAX_LEAVES, MAX_DEPTH = 12, 12
_ALWAYS_INLINE = (VECTOR, SCALAR, "zero", "one", "constant")
_MATRICES = "WUVQRSPKLM"
_BLOCKS = "D"


@dataclass(frozen=True)
class Piece:
    """A part of a right-hand side, with the precedence of its outermost operator."""

    text: str
    strength: int = ATOM


class Spelling(Protocol):
    """How equations are written."""

    @property
    def times(self) -> str:
        """The sign of a product of elements."""

    @property
    def minus(self) -> str:
        """The sign of a difference."""

    def value(self, name: str) -> str:
        """A value, by its display name: the input, a state, a state's next value with a prime, or a node."""

    def weight(self, letter: str, subscript: str) -> str:
        """A matrix or bias, named by a letter and the value it helps to compute; `subscript` may be empty."""

    def own_weight(self, name: str) -> str:
        """A vector or scalar weight, by its name in the cell."""

    def number(self, literal: str) -> str:
        """A constant, such as `0.5` or `1e-05`."""

    def parentheses(self, text: str) -> str:
        """Text in parentheses."""

    def call(self, function: str, arguments: Sequence[str]) -> str:
        """A function call."""

    def fraction(self, above: Piece, below: Piece) -> Piece:
        """A quotient."""

    def mean(self, pieces: Sequence[Piece]) -> Piece:
        """The mean of one or more."""


@dataclass(frozen=True)
class Equation:
    """An equation: `left` is the display name of the value, `node` the node that it belongs to, if any."""

    left: str
    right: str
    node: str = ""


@dataclass(frozen=True)
class CellEquations:
    """A cell as equations.

    Attributes:
        lines: In topological order.
        symbols: Weight name in the cell -> its symbol in the equations.
    """

    lines: tuple[Equation, ...]
    symbols: Mapping[str, str]


def write(cell: CellGraph, spelling: Spelling) -> CellEquations:
    """Write a cell as equations."""
    writer = _Writer(cell, spelling)
    return CellEquations(tuple(writer.lines()), writer.symbols)


class _Writer:
    def __init__(self, cell: CellGraph, spelling: Spelling) -> None:
        self.cell = cell
        self.spelling = spelling
        self.nodes = {node.name: node for node in cell.live_nodes}
        self.names = display_names(cell)
        self.inlined = _inlined(cell)
        weighted = [name for name in self.nodes if name not in self.inlined and self._has_weights(name)]
        self.is_alone = len(weighted) == 1
        self.symbols: dict[str, str] = {}
        self.taken = set(self.names.values())
        self.target = ""
        self.letters: Iterator[str] = iter(())
        self.blocks: Iterator[str] = iter(())
        self.biases: Iterator[str] = iter(())

    def lines(self) -> Iterator[Equation]:
        for name in self.nodes:
            if name in self.inlined:
                continue
            self.target = self.names[name]
            self.letters, self.blocks = _series(_MATRICES), _series(_BLOCKS)
            self.biases = _series("b")
            yield Equation(self.target, self._piece(self.nodes[name]).text, name)
        for state in self.cell.states:
            after = f"{state.name}'"
            if self.names[state.next] != after:
                yield Equation(after, self._value(state.next).text)
        if self.cell.output != self.cell.states[0].next and self.names[self.cell.output] != "output":
            yield Equation("output", self._value(self.cell.output).text)

    def _has_weights(self, name: str) -> bool:
        node = self.nodes[name]
        return node.op == LINEAR or any(
            self._has_weights(source) for source in node.inputs if source in self.inlined
        )

    def _value(self, name: str) -> Piece:
        if name in self.inlined:
            return self._piece(self.nodes[name])
        return Piece(self.spelling.value(self.names[name]))

    def _piece(self, node: Node) -> Piece:
        if node.op == LINEAR:
            return self._product(node)
        if node.op in (VECTOR, SCALAR):
            return Piece(self._own_symbol(node.weights[0]))
        parts = [self._value(source) for source in node.inputs]
        match node.op:
            case "zero" | "one" | "constant":
                return Piece(self.spelling.number(node.literal), SUM if node.literal.startswith("-") else ATOM)
            case "identity" | "recast":
                return parts[0]
            case "add":
                return Piece(" + ".join(part.text for part in parts), SUM)
            case "subtract" if node.inputs[0] in self.nodes and self.nodes[node.inputs[0]].op == "zero":
                return Piece(f"{self.spelling.minus}{self._held(parts[1], SUM)}", SUM)
            case "subtract":
                return Piece(f"{parts[0].text} {self.spelling.minus} {self._held(parts[1], SUM)}", SUM)
            case "multiply":
                return Piece(self._times(*parts), PRODUCT)
            case "divide":
                return self.spelling.fraction(*parts)
            case "blend":
                gate, first, second = parts
                rest = self.spelling.parentheses(f"1 {self.spelling.minus} {gate.text}")
                return Piece(f"{self._times(gate, first)} + {self._times(Piece(rest), second)}", SUM)
            case "mean":
                return self.spelling.mean(parts)
        return Piece(self.spelling.call(node.op, [part.text for part in parts]))

    def _product(self, node: Node) -> Piece:
        terms = []
        for source, weight in zip(node.inputs, node.weights, strict=True):
            symbol = self._symbol(weight, self.letters if node.heads == 1 else self.blocks)
            terms.append(f"{symbol} {self._held(self._value(source), PRODUCT)}")
        if node.bias is not None:
            terms.append(self._symbol(node.bias, self.biases))
        return Piece(" + ".join(terms), MATRIX if len(terms) == 1 else SUM)

    def _times(self, left: Piece, right: Piece) -> str:
        return f"{self._held(left, MATRIX)} {self.spelling.times} {self._held(right, MATRIX)}"

    def _held(self, piece: Piece, limit: int) -> str:
        """The piece as an operand: in parentheses unless it binds more tightly than `limit`."""
        return self.spelling.parentheses(piece.text) if piece.strength <= limit else piece.text

    def _symbol(self, weight: str, series: Iterator[str]) -> str:
        """The symbol of a matrix or bias; a shared weight keeps the symbol of its first use."""
        if weight not in self.symbols:
            subscript = "" if self.is_alone else self.target.removesuffix("'")
            candidates = (self.spelling.weight(letter, subscript) for letter in series)
            self.symbols[weight] = self._free(candidates)
        return self.symbols[weight]

    def _own_symbol(self, weight: str) -> str:
        if weight not in self.symbols:
            longer = (f"{weight}_{number}" for number in count(1))
            names = (name for more in ((weight,), longer) for name in more)
            self.symbols[weight] = self._free(self.spelling.own_weight(name) for name in names)
        return self.symbols[weight]

    def _free(self, candidates: Iterator[str]) -> str:
        """Take the first candidate that is not in use."""
        symbol = next(candidate for candidate in candidates if candidate not in self.taken)
        self.taken.add(symbol)
        return symbol


def _series(letters: str) -> Iterator[str]:
    """Yield the letters, then each with 2, with 3, ..."""
    yield from letters
    for number in count(2):
        yield from (f"{letter}{number}" for letter in letters)


def _inlined(cell: CellGraph) -> set[str]:
    """Nodes without a line of their own: each is written inside the equation of the node that reads it."""
    nodes = {node.name: node for node in cell.live_nodes}
    names = display_names(cell)
    uses = Counter(source for node in nodes.values() for source in node.inputs)
    kept = {cell.output, *(state.next for state in cell.states)}
    kept |= {node.inputs[0] for node in nodes.values() if node.op == "blend"}
    branches = [branch for group in overview_groups(cell) for branch in group.branches]
    candidates = {branch.candidate.name for branch in branches}
    inlined: set[str] = set()
    leaves: dict[str, int] = {}
    depth: dict[str, int] = {}
    for name, node in nodes.items():
        leaves[name] = max(1, sum(leaves[source] if source in inlined else 1 for source in node.inputs))
        depth[name] = 1 + max((depth[source] for source in node.inputs if source in inlined), default=0)
        if name in kept:
            continue
        is_part = node.op == LINEAR or name in candidates or is_auxiliary(name, names)
        is_short = leaves[name] <= MAX_LEAVES and depth[name] <= MAX_DEPTH
        is_single = uses[name] == 1 and is_part and is_short
        if node.op in _ALWAYS_INLINE or is_single:
            inlined.add(name)
    return inlined

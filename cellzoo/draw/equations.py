"""A cell as equations in plain text and in LaTeX."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellzoo.draw.algebra import MATRIX, PRODUCT, Equation, Piece, write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellzoo.cells.graph import CellGraph

_NAME = re.compile(r"(_*[A-Za-z](?:[A-Za-z_]*[A-Za-z])?)_*([0-9]*)")


def equations(cell: CellGraph) -> str:
    """Write a cell as text, one equation a line: `i = sigmoid(W_i x + U_i h + b_i)`.

    `W_i x` is a product with a matrix, `D_i x` one with a block-diagonal matrix, `*` works on each element, `h`
    is the state before the step and `h'` after it. Equal symbols are one weight; `symbols` says which.
    """
    return "".join(f"{line.left} = {line.right}\n" for line in text_lines(cell))


def text_lines(cell: CellGraph) -> tuple[Equation, ...]:
    """The equations in plain text."""
    return write(cell, _Text()).lines


def symbols(cell: CellGraph) -> dict[str, str]:
    """Which weight each symbol of `equations` stands for.

    Returns:
        Symbol -> name of the weight, as in `Cell.parameter_shapes`.
    """
    return {symbol: weight for weight, symbol in write(cell, _Text()).symbols.items()}


def latex(cell: CellGraph) -> str:
    r"""Write a cell as a LaTeX `aligned` block, to stand in math mode.

    The input is x_t, a state h_{t-1} before the step and h_t after it; `\odot` works on each element. Needs
    amsmath.
    """
    spelling = _Latex(frozenset(state.name for state in cell.states))
    rows = [f"{spelling.value(line.left)} &= {line.right}" for line in write(cell, spelling).lines]
    return "\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}\n"


class _Text:
    times = "*"
    minus = "-"

    def value(self, name: str) -> str:
        return name

    def weight(self, letter: str, subscript: str) -> str:
        return f"{letter}_{subscript}" if subscript else letter

    def own_weight(self, name: str) -> str:
        return name

    def number(self, literal: str) -> str:
        return literal

    def parentheses(self, text: str) -> str:
        return f"({text})"

    def call(self, function: str, arguments: Sequence[str]) -> str:
        return f"{_SHORT.get(function, function)}({', '.join(arguments)})"

    def fraction(self, above: Piece, below: Piece) -> Piece:
        left = self.parentheses(above.text) if above.strength <= MATRIX else above.text
        right = self.parentheses(below.text) if below.strength <= PRODUCT else below.text
        return Piece(f"{left} / {right}", PRODUCT)

    def mean(self, pieces: Sequence[Piece]) -> Piece:
        return Piece(self.call("mean", [piece.text for piece in pieces]))


_SHORT = {"minimum": "min", "maximum": "max"}


@dataclass(frozen=True)
class _Latex:
    states: frozenset[str]
    times: str = r"\odot"
    minus: str = "-"

    def value(self, name: str) -> str:
        if name == "x":
            return "x_{t}"
        if name.endswith("'"):
            return _indexed(name[:-1], "t")
        return _indexed(name, "t-1") if name in self.states else _indexed(name)

    def weight(self, letter: str, subscript: str) -> str:
        base = letter[0] if len(letter) == 1 else f"{letter[0]}^{{({letter[1:]})}}"
        return f"{base}_{{{_indexed(subscript)}}}" if subscript else base

    def own_weight(self, name: str) -> str:
        return rf"\mathbf{{{_escaped(name)}}}"

    def number(self, literal: str) -> str:
        mantissa, _, exponent = literal.partition("e")
        if not exponent:
            return literal
        power = f"10^{{{int(exponent)}}}"
        return (
            f"{mantissa.removesuffix('1')}{power}" if mantissa in ("1", "-1") else rf"{mantissa} \cdot {power}"
        )

    def parentheses(self, text: str) -> str:
        return rf"\left({text}\right)"

    def call(self, function: str, arguments: Sequence[str]) -> str:
        command = _FUNCTIONS.get(function, rf"\mathrm{{{_escaped(function)}}}")
        return f"{command}{self.parentheses(', '.join(arguments))}"

    def fraction(self, above: Piece, below: Piece) -> Piece:
        return Piece(rf"\frac{{{above.text}}}{{{below.text}}}")

    def mean(self, pieces: Sequence[Piece]) -> Piece:
        total = self.parentheses(" + ".join(piece.text for piece in pieces))
        return Piece(rf"\frac{{1}}{{{len(pieces)}}}{total}", PRODUCT)


_FUNCTIONS = {
    "tanh": r"\tanh",
    "sigmoid": r"\sigma",
    "exp": r"\exp",
    "minimum": r"\min",
    "maximum": r"\max",
}


def _indexed(name: str, time: str = "") -> str:
    """A name in math mode: `s3` is s with the index 3; longer words are set upright."""
    match = _NAME.fullmatch(name)
    word, number = match.groups() if match else (name, "")
    base = word if len(word) == 1 and word.isalpha() else rf"\mathrm{{{_escaped(word)}}}"
    index = ",".join(part for part in (number, time) if part)
    return f"{base}_{{{index}}}" if index else base


def _escaped(text: str) -> str:
    return text.replace("_", r"\_")

"""A cell's size as a formula in E, the input size, and H, the hidden size."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from cellzoo.cells.graph import HIDDEN_WIDTH, INPUT_WIDTH
from cellzoo.cells.ops import LINEAR, SCALAR

if TYPE_CHECKING:
    from cellzoo.cells.graph import CellGraph

_LETTERS = {INPUT_WIDTH: "E", HIDDEN_WIDTH: "H"}
_SQUARES = {"EE": "E²", "HH": "H²"}
_ORDER = ("EE", "EH", "HH", "E", "H", "")


def parameter_formula(cell: CellGraph) -> str:
    """The number of parameters of one layer in one direction, such as `4EH + 4H² + 4H`, or `H²/2`."""
    shapes: dict[str, tuple[str, ...]] = {}
    heads: dict[str, int] = {}
    for node in cell.live_nodes:
        rows = cell.widths[node.name]
        for position, weight in enumerate(node.weights):
            if node.op == LINEAR:
                shapes[weight] = (rows, cell.widths[node.inputs[position]])
                heads[weight] = node.heads
            else:
                shapes[weight] = () if node.op == SCALAR else (rows,)
        if node.bias is not None:
            shapes[node.bias] = (rows,)
    counts: dict[str, Fraction] = {}
    for weight, shape in shapes.items():
        factor = Fraction(1, heads.get(weight, 1))
        for width in shape:
            factor *= 1 if width in _LETTERS else int(width)
        term = "".join(sorted(_LETTERS[width] for width in shape if width in _LETTERS))
        counts[term] = counts.get(term, Fraction(0)) + factor
    return " + ".join(_term(counts[term], term) for term in _ORDER if counts.get(term)) or "0"


def _term(count: Fraction, term: str) -> str:
    written = _SQUARES.get(term, term)
    above = written if count.numerator == 1 and written else f"{count.numerator}{written}"
    return above if count.denominator == 1 else f"{above}/{count.denominator}"

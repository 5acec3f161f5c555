"""Notations of published cells: each reads text as a Cell and writes a Cell as text; one module each."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cellzoo.errors import CellzooError, NotationError, unknown

if TYPE_CHECKING:
    from types import ModuleType

    from cellzoo.cells.cell import Cell

# Each module has `parse(source, name) -> Cell` and `write(cell) -> str`.
_MODULES = {
    "darts": "cellzoo.notations.darts",
    "egs": "cellzoo.notations.egs",
    "enas": "cellzoo.notations.enas",
    "equations": "cellzoo.notations.equations",
    "ess": "cellzoo.notations.ess",
    "fenas": "cellzoo.notations.fenas",
    "idarts": "cellzoo.notations.idarts",
    "nas-bench-nlp": "cellzoo.notations.nas_bench_nlp",
}

NOTATIONS = tuple(_MODULES)


def parse(source: Any, notation: str, name: str = "") -> Cell:
    """Read a cell.

    Args:
        source: The text, or the same content as Python data.
        notation: One of `NOTATIONS`.
        name: The name to give the cell.

    Raises:
        UnknownNameError: No such notation.
        NotationError: The source is not in that notation; the message names the token.
        CellError: The source reads as a graph that is not a valid cell.
    """
    module = _module(notation)
    try:
        cell: Cell = module.parse(source, name)
    except (RecursionError, ValueError) as error:
        # Such as a list that contains itself, or a number of thousands of digits.
        raise NotationError(f"{notation}: the data cannot be read: {str(error)[:200]}") from error
    return cell


def write(cell: Cell, notation: str) -> str:
    """Write a cell as a text that `parse` reads as the same graph.

    Args:
        cell: The cell, from any notation.
        notation: One of `NOTATIONS`.

    Raises:
        UnknownNameError: No such notation.
        NotationError: The notation cannot express this cell; the message says why.
    """
    text: str = _module(notation).write(cell)
    try:
        is_same = parse(text, notation).hash == cell.hash
    except CellzooError as error:
        raise NotationError(f"{notation}: the cell cannot be written in this notation: {error}") from error
    if not is_same:
        raise NotationError(
            f"{notation}: the cell cannot be written in this notation: it would read as another cell"
        )
    return text


def _module(notation: str) -> ModuleType:
    if notation not in _MODULES:
        raise unknown("notation", notation, _MODULES)
    return import_module(_MODULES[notation])

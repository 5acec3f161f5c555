"""Notations: text to Cell, one file a notation."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cellzoo.errors import unknown

if TYPE_CHECKING:
    from cellzoo.cell import Cell

# Each module has `parse(source, name) -> Cell`.
_MODULES = {
    "darts": "cellzoo.notations.darts",
    "equations": "cellzoo.notations.equations",
}

NOTATIONS = tuple(_MODULES)


def parse(source: Any, notation: str, name: str = "") -> Cell:
    """Read a cell.

    Args:
        source: The text; for `darts` also the genotype as data.
        notation: One of `NOTATIONS`.
        name: The name to give the cell.

    Raises:
        UnknownNameError: No such notation.
        NotationError: The source is not in that notation; the message names the token.
        CellError: The source reads as a graph that is no valid cell.
    """
    if notation not in _MODULES:
        raise unknown("notation", notation, _MODULES)
    cell: Cell = import_module(_MODULES[notation]).parse(source, name)
    return cell

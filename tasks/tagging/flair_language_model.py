"""Cells in Flair's character language model, `LanguageModel(recurrent_type="cell:<name>")`.

After this module is imported, with `CellTagger` or directly, Flair finds cells by name, also when it loads
saved models.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from flair.models import LanguageModel
from flair.nn import recurrent

from cellzoo import load
from cellzoo.cells.cell import Cell
from cellzoo.cells.graph import HIDDEN_WIDTH
from cellzoo.errors import CellzooError
from cellzoo.layer import CellRNN
from tasks.language_modeling.flair_file import CELL
from tasks.tagging.layers import PREFIX

if TYPE_CHECKING:
    from pathlib import Path


def load_language_model(path: Path) -> LanguageModel:
    """Load a saved `LanguageModel` of Flair, also one around a cell.

    Flair's files are pickles: load only files from people you trust.

    Raises:
        CellzooError: Its cell is neither in the file nor in the zoo.
    """
    state = torch.load(path, map_location="cpu", weights_only=False)
    kind = str(state["recurrent_type"]) if "recurrent_type" in state else "lstm"
    if kind.startswith(PREFIX):
        _register(kind, Cell.from_json(state[CELL]) if CELL in state else load(kind.removeprefix(PREFIX)))
    return LanguageModel.load_language_model(path)


def register_language_model_cell(name: str) -> str:
    """Register a cell for `flair.models.LanguageModel`; Flair's table also does so when a cell is looked up.

    Flair needs the number of states of a layer: it passes one state as a tensor, and several as a tuple.

    Args:
        name: Name of a cell of the zoo, or path of a cell file; in lower case, because Flair lower-cases it.

    Returns:
        The value for `recurrent_type`.

    Raises:
        CellzooError: The cell is unknown, has a state of the width of its input (all states of Flair's model
            have the hidden size), or has a name with capital letters.
    """
    cell = load(name)
    if any(state.width != HIDDEN_WIDTH for state in cell.states):
        raise CellzooError(
            f"cell {name!r} carries its input from step to step; all states of Flair's LanguageModel have the "
            "hidden size"
        )
    if name != name.lower():
        raise CellzooError(f"cell {name!r}: Flair writes recurrent_type in lower case; rename the cell's file")
    _register(PREFIX + name, cell)
    return PREFIX + name


def _register(kind: str, cell: Cell) -> None:
    def layer(input_size: int, hidden_size: int, layers: int, **options: Any) -> CellRNN:
        return CellRNN(cell, input_size, hidden_size, layers, **options)

    known: dict[str, tuple[Any, int]] = recurrent.rnn_layers
    known[kind] = (layer, len(cell.states))


class _Layers(dict[str, tuple[Any, int]]):
    """Flair's table of recurrent layers, which registers cells when they are looked up."""

    def __contains__(self, kind: object) -> bool:
        if isinstance(kind, str) and kind.startswith(PREFIX) and not super().__contains__(kind):
            register_language_model_cell(kind.removeprefix(PREFIX))
        return super().__contains__(kind)


recurrent.rnn_layers = _Layers(recurrent.rnn_layers)

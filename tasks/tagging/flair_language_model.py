"""Cells in Flair's character language model, `LanguageModel(recurrent_type="cell:<name>")`.

Once this module is imported, with `CellTagger` or by itself, Flair finds cells by their names, also those of
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
    """Load a file of a Flair `LanguageModel`, also one with a cell inside.

    It is a pickle, as Flair's files are: open only files of people you trust.

    Raises:
        CellzooError: Its cell is neither in the file nor in the zoo.
    """
    state = torch.load(path, map_location="cpu", weights_only=False)
    kind = str(state["recurrent_type"]) if "recurrent_type" in state else "lstm"
    if kind.startswith(PREFIX):
        _register(kind, Cell.from_json(state[CELL]) if CELL in state else load(kind.removeprefix(PREFIX)))
    return LanguageModel.load_language_model(path)


def register_language_model_cell(name: str) -> str:
    """Let `flair.models.LanguageModel` take a cell; Flair's table does so itself when it is asked for one.

    Flair asks how many states a layer has; with one it hands over a tensor, with several a tuple.

    Args:
        name: Of a cell of the zoo, or the path of a cell file, in lower case, as Flair writes it.

    Returns:
        What to pass as `recurrent_type`.

    Raises:
        CellzooError: The cell is not known, carries its input from step to step (Flair's states are all as wide
            as the hidden state), or has a name with capital letters.
    """
    cell = load(name)
    if any(state.width != HIDDEN_WIDTH for state in cell.states):
        raise CellzooError(
            f"cell {name!r} carries its input from step to step; Flair's LanguageModel makes states of the "
            "hidden size alone"
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
    """Flair's table of recurrent layers, in which a cell is there once it is asked for."""

    def __contains__(self, kind: object) -> bool:
        if isinstance(kind, str) and kind.startswith(PREFIX) and not super().__contains__(kind):
            register_language_model_cell(kind.removeprefix(PREFIX))
        return super().__contains__(kind)


recurrent.rnn_layers = _Layers(recurrent.rnn_layers)

"""The recurrent layer of a tagger: build it from a name, describe it as JSON, and rebuild it from that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from cellzoo import load
from cellzoo.cells.cell import Cell
from cellzoo.cells.graph import HIDDEN_WIDTH
from cellzoo.errors import CellzooError, unknown
from cellzoo.layer import CellRNN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

PREFIX = "cell:"
_TORCH_LAYERS = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}
_ARGUMENTS = ["input_size", "hidden_size", "num_layers", "bias", "dropout", "bidirectional"]
_MASKS = ("dropout_x", "dropout_h")


def make_layer(rnn_type: str | Cell, *, dropout_x: float, dropout_h: float, **arguments: Any) -> nn.Module:
    """Build a recurrent layer.

    Args:
        rnn_type: As in `CellTagger`.
        dropout_x: As in `CellRNN`.
        dropout_h: As in `CellRNN`.
        **arguments: As in `torch.nn.LSTM`.

    Raises:
        CellzooError: The cell is unknown, or torch's layers do not have such dropout.
    """
    if isinstance(rnn_type, str) and rnn_type in _TORCH_LAYERS:
        if dropout_x or dropout_h:
            raise CellzooError(
                f"dropout_x and dropout_h need a cell; torch's {rnn_type} does not have them: "
                f"use rnn_type='cell:{rnn_type.lower()}'"
            )
        return _TORCH_LAYERS[rnn_type](**arguments)
    if isinstance(rnn_type, str):
        if not rnn_type.startswith(PREFIX):
            raise unknown("rnn_type", rnn_type, _TORCH_LAYERS, "Or 'cell:<name>', such as 'cell:darts-v2'.")
        rnn_type = load(rnn_type.removeprefix(PREFIX))
    return CellRNN(rnn_type, dropout_x=dropout_x, dropout_h=dropout_h, **arguments)


def type_of(layer: nn.Module) -> str:
    """Return the `rnn_type` of a layer; for other modules the name of their class."""
    if isinstance(layer, CellRNN):
        return PREFIX + (layer.cell.name or layer.cell.hash[:12])
    return type(layer).__name__


def describe(layer: nn.Module) -> dict[str, Any]:
    """Describe a layer, without its weights, as JSON values.

    Raises:
        CellzooError: It is neither a `CellRNN` nor one of torch's layers.
    """
    names, cell = _ARGUMENTS, None
    if isinstance(layer, CellRNN):
        # Layer normalisation is part of the cell.
        names, cell = [*_ARGUMENTS, *_MASKS, "zoneout"], layer.cell.to_json()
    elif type(layer) not in _TORCH_LAYERS.values():
        raise CellzooError(
            f"a tagger around a {type(layer).__name__} cannot be saved: only cells and torch's "
            f"{', '.join(_TORCH_LAYERS)} can be rebuilt. Derive a cell, and train a tagger with it"
        )
    return {"type": type_of(layer), "cell": cell, "arguments": {name: getattr(layer, name) for name in names}}


def rebuild(description: Mapping[str, Any]) -> nn.Module:
    """Build a layer, with new weights, from the result of `describe`."""
    kind = description["type"] if description["cell"] is None else Cell.from_json(description["cell"])
    masks = dict.fromkeys(_MASKS, 0.0)
    return make_layer(kind, **{**masks, **description["arguments"], "batch_first": True})


class InitialStates(nn.Module):
    """Trainable initial states of a recurrent layer; initialised to zeros.

    Args:
        layer: A `CellRNN` or one of torch's layers.

    Raises:
        CellzooError: It is another module, whose states are not known.
    """

    def __init__(self, layer: Any) -> None:
        super().__init__()
        if isinstance(layer, CellRNN):
            widths = [
                layer.hidden_size if state.width == HIDDEN_WIDTH else layer.input_size
                for state in layer.cell.states
            ]
        elif type(layer) in _TORCH_LAYERS.values():
            widths = [layer.hidden_size] * (2 if isinstance(layer, nn.LSTM) else 1)
        else:
            raise CellzooError(
                "train_initial_hidden_state needs a cell or one of torch's layers, not a "
                f"{type(layer).__name__}"
            )
        rows = layer.num_layers * (2 if layer.bidirectional else 1)
        self.states = nn.ParameterList(torch.zeros(rows, 1, width) for width in widths)

    def forward(self, batch: int) -> Tensor | tuple[Tensor, ...]:
        """Return the states for a batch, each (num_layers * directions, B, width)."""
        wide = tuple(state.expand(-1, batch, -1).contiguous() for state in self.states)
        return wide[0] if len(wide) == 1 else wide

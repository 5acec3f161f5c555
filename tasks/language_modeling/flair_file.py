"""Save a trained character language model in Flair's format, a pickle that torch writes.

A model around the zoo's LSTM becomes a plain Flair model. Any other cell is stored in the file, and
`tasks.tagging.flair_language_model.load_language_model` rebuilds it.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, cast

import torch
from flair.data import Dictionary

from cellzoo import load
from cellzoo.cells.graph import HIDDEN_WIDTH
from cellzoo.errors import CellzooError
from cellzoo.layer import CellRNN
from cellzoo.system.atomic import write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor, nn

    from tasks.language_modeling.model import LanguageModel
    from tasks.language_modeling.modeling import LanguageModeling
    from tasks.problem import Problem

CELL = "cellzoo_cell"
"""Key of the cell in the file; Flair ignores it."""
PREFIX = "cell:"
_GATES = ("i_1", "f_1", "g_1", "o_1")
"""Names of the gates of the zoo's LSTM, in the order of torch's stacked weights."""


def write_flair_file(problem: Problem, model: nn.Module, path: Path) -> None:
    """Write the file atomically.

    Raises:
        CellzooError: The layer does not fit Flair's model, whose states all have the hidden size.
        OutputError: It cannot be written.
    """
    characters, trained = cast("LanguageModeling", problem), cast("LanguageModel", model)
    settings: Any = characters.settings
    rnn = trained.rnn
    if not isinstance(rnn, CellRNN) or any(state.width != HIDDEN_WIDTH for state in rnn.cell.states):
        raise CellzooError("only a cell whose states all have the hidden size can be saved in Flair's format")
    kind, layer, extra = _layer(rnn)
    dictionary = Dictionary(add_unk=True)
    for character in ("\n", *characters.text.vocabulary.words[2:]):
        dictionary.add_item(character)
    weights = {
        "encoder.weight": trained.embedding,
        "decoder.weight": trained.decoder,
        "decoder.bias": trained.decoder_bias,
        **{f"rnn.{name}": value for name, value in layer.items()},
    }
    state = {
        "state_dict": {name: value.detach().cpu() for name, value in weights.items() if value is not None},
        "dictionary": dictionary,
        "is_forward_lm": settings.direction == "forward",
        "hidden_size": rnn.hidden_size,
        "nlayers": 1,
        "embedding_size": rnn.input_size,
        "nout": None,
        "document_delimiter": "\n",
        "dropout": settings.dropout,
        "recurrent_type": kind,
        "has_decoder": True,
        **extra,
    }
    content = io.BytesIO()
    torch.save(state, content, pickle_protocol=4)
    write_atomically(path, content.getvalue())


def _layer(rnn: CellRNN) -> tuple[str, dict[str, Tensor], dict[str, str]]:
    """Return Flair's name of the layer, its weights, and further entries that are needed to rebuild it."""
    weights = cast("Mapping[str, Tensor]", rnn.directions[0].weights)
    if rnn.cell.hash == load("lstm").hash and f"{_GATES[0]}_b" in weights:
        bias = torch.cat([weights[f"{gate}_b"] for gate in _GATES])
        return (
            "LSTM",
            {
                "weight_ih_l0": torch.cat([weights[f"{gate}_0"] for gate in _GATES]),
                "weight_hh_l0": torch.cat([weights[f"{gate}_1"] for gate in _GATES]),
                "bias_ih_l0": bias,
                "bias_hh_l0": torch.zeros_like(bias),
            },
            {},
        )
    kind = f"{PREFIX}{rnn.cell.hash[:16]}"
    return kind, dict(rnn.state_dict()), {CELL: rnn.cell.to_json()}

"""A trained character language model as a file that Flair loads.

It is in Flair's own format, a pickle that torch writes. With the zoo's LSTM inside it is a plain model of
Flair's; another cell travels in the file, and `load_language_model` in `tasks.tagging` builds it again.
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
"""Key of the cell in the file; Flair passes it over."""
PREFIX = "cell:"
_GATES = ("i_1", "f_1", "g_1", "o_1")
"""The gates of the zoo's LSTM in the order of torch's stacked weights."""


def write_flair_file(problem: Problem, model: nn.Module, path: Path) -> None:
    """Write the file, whole or not at all.

    Raises:
        CellzooError: The layer cannot be in a model of Flair's, whose states are all of the hidden size.
        OutputError: It cannot be written.
    """
    characters, trained = cast("LanguageModeling", problem), cast("LanguageModel", model)
    settings: Any = characters.settings
    rnn = trained.rnn
    if not isinstance(rnn, CellRNN) or any(state.width != HIDDEN_WIDTH for state in rnn.cell.states):
        raise CellzooError("only a cell whose states are all of the hidden size can be in a file of Flair's")
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
    """Flair's name of the layer, its weights, and what else the file must hold to build it again."""
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

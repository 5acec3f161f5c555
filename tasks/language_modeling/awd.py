"""The AWD macro model: several recurrent layers of any cell, weight drop, decoder tied to the embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from cellzoo.cells.graph import INPUT
from cellzoo.cells.ops import LINEAR
from cellzoo.layer import CellRNN
from tasks.language_modeling.dropout import embed, locked_dropout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellzoo.cells.cell import Cell
    from tasks.language_modeling.awd_sizes import AWDSizes

EMBEDDING_RANGE = 0.1


class AWDOutput(NamedTuple):
    """What one segment of text gives.

    Attributes:
        logits: Scores of the next word, (T, B, V).
        hidden: State of each layer after the last step, as `CellRNN` gives it.
        raw: Outputs of the last layer, (T, B, E); temporal activation regularisation reads them.
        dropped: The same after locked dropout, (T, B, E); activation regularisation reads them.
    """

    logits: Tensor
    hidden: tuple[Tensor | tuple[Tensor, ...], ...]
    raw: Tensor
    dropped: Tensor


class AWDLanguageModel(nn.Module):
    """The model of AWD-LSTM (Merity et al. 2018, arXiv 1708.02182) with any cell, as NAS-Bench-NLP has it.

    Embedding with dropout of whole words, locked dropout, recurrent layers with locked dropout between them
    and behind, linear decoder with bias whose weight is the embedding. Weight drop masks single weights of
    every matrix that does not read x, anew in each forward call.

    Args:
        cell: The recurrent cell, with weights of its own in each layer.
        sizes: The sizes of the model.
        dropout: Locked dropout on the outputs of the last layer.
        dropout_e: Dropout of whole words in the embedding.
        dropout_h: Locked dropout on what passes from layer to layer.
        dropout_i: Locked dropout on embedded words.
        weight_drop: Probability of weight drop.
        freeze_dropped: No gradient reaches a weight-dropped matrix, so that it stays as it was drawn. The
            published runs of NAS-Bench-NLP were made so: their code wraps the masked matrix in a new parameter.
        device: As in torch; `meta` builds the model without memory.
        dtype: As in torch.
        runtime: The engine that runs the cell, as in `CellRNN`.
    """

    def __init__(
        self,
        cell: Cell,
        sizes: AWDSizes,
        *,
        dropout: float = 0.0,
        dropout_e: float = 0.0,
        dropout_h: float = 0.0,
        dropout_i: float = 0.0,
        weight_drop: float = 0.0,
        freeze_dropped: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        runtime: str = "auto",
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.dropout_e = dropout_e
        self.dropout_h = dropout_h
        self.dropout_i = dropout_i
        self.weight_drop = weight_drop
        self.freeze_dropped = freeze_dropped
        shape = (sizes.vocabulary_size, sizes.embedding_size)
        self.embedding = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
        self.layers = nn.ModuleList(
            CellRNN(cell, input_size, hidden_size, device=device, dtype=dtype, runtime=runtime)
            for input_size, hidden_size in sizes.layers
        )
        self.decoder_bias = nn.Parameter(torch.empty(sizes.vocabulary_size, device=device, dtype=dtype))
        self.recurrent_weights = _recurrent_weights(self.layers[0])
        self.reset_parameters()

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw all weights anew: embedding in ±0.1, decoder bias zero, cells in ±1/sqrt(hidden size)."""
        with torch.no_grad():
            self.embedding.uniform_(-EMBEDDING_RANGE, EMBEDDING_RANGE, generator=generator)
            self.decoder_bias.zero_()
        for layer in self.layers:
            cast("CellRNN", layer).reset_parameters(generator)

    def forward(self, tokens: Tensor, hidden: Sequence[Tensor | tuple[Tensor, ...]] | None = None) -> AWDOutput:
        """Score the word after each word of a segment.

        Args:
            tokens: Word numbers, (T, B).
            hidden: State of each layer to start from, as `AWDOutput.hidden`; zeros when None.
        """
        values = embed(tokens, self.embedding, self.dropout_e, self.training)  # (T, B, E)
        values = raw = locked_dropout(values, self.dropout_i, self.training)
        finals = []
        for index, layer in enumerate(self.layers):
            arguments = (values, None if hidden is None else hidden[index])
            raw, final = functional_call(layer, self._dropped_weights(layer), arguments)  # (T, B, H or E)
            finals.append(final)
            is_last = index == len(self.layers) - 1
            values = locked_dropout(raw, self.dropout if is_last else self.dropout_h, self.training)
        logits = F.linear(values, self.embedding, self.decoder_bias)  # (T, B, V)
        return AWDOutput(logits, tuple(finals), raw, values)

    def _dropped_weights(self, layer: nn.Module) -> dict[str, Tensor]:
        """Mask a layer's recurrent matrices; nothing replaces its weights where there is nothing to drop."""
        if not self.training or self.weight_drop == 0.0:
            return {}
        dropped = {
            name: F.dropout(layer.get_parameter(name), self.weight_drop) for name in self.recurrent_weights
        }
        return {name: mask.detach() for name, mask in dropped.items()} if self.freeze_dropped else dropped


def _recurrent_weights(layer: nn.Module) -> tuple[str, ...]:
    """Names, in a `CellRNN` of one layer, of the matrices that do not read x."""
    rnn = cast("CellRNN", layer)
    uses = [
        (weight, source == INPUT)
        for node in rnn.cell.live_nodes
        if node.op == LINEAR
        for weight, source in zip(node.weights, node.inputs, strict=True)
    ]
    on_x = {weight for weight, reads_x in uses if reads_x}
    names = dict.fromkeys(weight for weight, _ in uses if weight not in on_x)
    keys = rnn.direction(0).keys
    return tuple(f"directions.0.{keys[name]}" for name in names)

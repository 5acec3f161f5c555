"""The language model: embedding, one recurrent layer of any cell, decoder tied to the embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cellzoo.layer import CellRNN
from tasks.language_modeling.dropout import embed, locked_dropout

if TYPE_CHECKING:
    from cellzoo.cells.cell import Cell

Hidden: TypeAlias = Tensor | tuple[Tensor, ...]

EMBEDDING_RANGE = 0.04


class LanguageModelOutput(NamedTuple):
    """What one segment of text gives.

    Attributes:
        logits: Scores of the next word, (T, B, V).
        hidden: State after the last step: (1, B, H), a tuple of such for a cell with several states.
        raw: Outputs of the recurrent layer, (T, B, H); temporal activation regularisation reads them.
        dropped: The same after locked dropout, (T, B, H); activation regularisation reads them.
    """

    logits: Tensor
    hidden: Hidden
    raw: Tensor
    dropped: Tensor


class CellLanguageModel(nn.Module):
    """The single-layer model of DARTS (Liu et al., arXiv 1806.09055, section 3.2), for any cell.

    Embedding with dropout of whole words, locked dropout, recurrent layer with one mask a sequence on the
    inputs of its products, locked dropout, linear decoder with bias. The decoder's weight is the embedding
    itself when `tied`.

    Args:
        cell: The recurrent cell.
        vocabulary_size: V.
        embedding_size: E; equals `hidden_size` when tied.
        hidden_size: H.
        dropout: Locked dropout on the outputs of the recurrent layer.
        dropout_e: Dropout of whole words in the embedding.
        dropout_i: Locked dropout on embedded words.
        dropout_x: Dropout on the cell's input, one mask a call.
        dropout_h: Dropout on what the cell's products read of its state and nodes, one mask a call.
        tied: One tensor for embedding and decoder.
        device: As in torch; `meta` builds the model without memory.
        dtype: As in torch.
        runtime: The engine that runs the cell, as in `CellRNN`.

    Raises:
        ValueError: Tied with `embedding_size` other than `hidden_size`.
    """

    def __init__(
        self,
        cell: Cell,
        vocabulary_size: int,
        embedding_size: int,
        hidden_size: int,
        *,
        dropout: float = 0.0,
        dropout_e: float = 0.0,
        dropout_i: float = 0.0,
        dropout_x: float = 0.0,
        dropout_h: float = 0.0,
        tied: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        runtime: str = "auto",
    ) -> None:
        super().__init__()
        if tied and embedding_size != hidden_size:
            raise ValueError(
                f"a tied decoder needs embedding_size == hidden_size, not {embedding_size} and {hidden_size}"
            )
        self.dropout = dropout
        self.dropout_e = dropout_e
        self.dropout_i = dropout_i
        shape = (vocabulary_size, embedding_size)
        self.embedding = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
        self.rnn = CellRNN(
            cell,
            embedding_size,
            hidden_size,
            dropout_x=dropout_x,
            dropout_h=dropout_h,
            device=device,
            dtype=dtype,
            runtime=runtime,
        )
        self.decoder = (
            None
            if tied
            else nn.Parameter(torch.empty(vocabulary_size, hidden_size, device=device, dtype=dtype))
        )
        self.decoder_bias = nn.Parameter(torch.empty(vocabulary_size, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw all weights anew.

        Embedding and decoder are uniform in ±0.04 and the decoder's bias is zero, as in DARTS. The cell's
        weights are uniform in ±1/sqrt(H), torch's own rule for recurrent layers, which is 0.034 at the size
        of 850 where DARTS takes 0.04, and keeps small layers from starting dead.
        """
        self.rnn.reset_parameters(generator)
        with torch.no_grad():
            self.embedding.uniform_(-EMBEDDING_RANGE, EMBEDDING_RANGE, generator=generator)
            if self.decoder is not None:
                self.decoder.uniform_(-EMBEDDING_RANGE, EMBEDDING_RANGE, generator=generator)
            self.decoder_bias.zero_()

    def forward(self, tokens: Tensor, hidden: Hidden | None = None) -> LanguageModelOutput:
        """Score the word after each word of a segment.

        Args:
            tokens: Word numbers, (T, B).
            hidden: State to start from, as `LanguageModelOutput.hidden`; zeros when None.
        """
        embedded = embed(tokens, self.embedding, self.dropout_e, self.training)  # (T, B, E)
        embedded = locked_dropout(embedded, self.dropout_i, self.training)
        raw, last = self.rnn(embedded, hidden)  # (T, B, H)
        dropped = locked_dropout(raw, self.dropout, self.training)
        decoder = self.embedding if self.decoder is None else self.decoder
        logits = F.linear(dropped, decoder, self.decoder_bias)  # (T, B, V)
        return LanguageModelOutput(logits, last, raw, dropped)


def detach(hidden: Hidden) -> Hidden:
    """Cut a carried state off from the segment that made it."""
    return hidden.detach() if isinstance(hidden, Tensor) else tuple(state.detach() for state in hidden)

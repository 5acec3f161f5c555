"""The language model: embedding, a recurrent layer that is given, decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tasks.layers.dropout import embed, locked_dropout

if TYPE_CHECKING:
    from tasks.problem import Carry

EMBEDDING_RANGE = 0.04


class LanguageModelOutput(NamedTuple):
    """What one segment of text gives.

    Attributes:
        logits: Scores of the next word, (T, B, V).
        hidden: State after the last step, as the recurrent layer gives it.
        raw: Outputs of the recurrent layer, (T, B, H); temporal activation regularisation reads them.
        dropped: The same after locked dropout, (T, B, H); activation regularisation reads them.
    """

    logits: Tensor
    hidden: Carry
    raw: Tensor
    dropped: Tensor


class LanguageModel(nn.Module):
    """A language model around a recurrent layer: a `CellRNN`, a `CellStack` or a `Supernet`.

    Embedding with dropout of whole words, locked dropout, recurrent layer, locked dropout, linear decoder with
    bias. Around one layer it is the model of DARTS (Liu et al. 2019, arXiv 1806.09055, section 3.2), around a
    stack that of AWD-LSTM (Merity et al. 2018, arXiv 1708.02182).

    Args:
        rnn: The recurrent layer, with its weights drawn; the other weights go where its weights are.
        vocabulary_size: V.
        dropout: Locked dropout on the outputs of the recurrent layer.
        dropout_e: Dropout of whole words in the embedding.
        dropout_i: Locked dropout on embedded words.
        tied: One tensor for embedding and decoder.
        projects: A linear map, without bias, of the outputs of the recurrent layer to the width of a tied
            decoder, which can then be another one.
        embedding_range: Embedding and decoder are uniform in ± this; the decoder's bias is zero.
        generator: Draws them, a CPU generator; torch's default when None.

    Raises:
        ValueError: Tied around a layer whose outputs are not as wide as its inputs.
    """

    def __init__(
        self,
        rnn: nn.Module,
        vocabulary_size: int,
        *,
        dropout: float = 0.0,
        dropout_e: float = 0.0,
        dropout_i: float = 0.0,
        tied: bool = True,
        projects: bool = False,
        embedding_range: float = EMBEDDING_RANGE,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        embedding_size, hidden_size = cast("Any", rnn).input_size, cast("Any", rnn).hidden_size
        if tied and not projects and embedding_size != hidden_size:
            raise ValueError(
                f"a tied decoder needs embedding_size == hidden_size, not {embedding_size} and {hidden_size}"
            )
        self.dropout = dropout
        self.dropout_e = dropout_e
        self.dropout_i = dropout_i
        self.rnn = rnn
        weight = next(rnn.parameters())

        def drawn(rows: int, width: int, bound: float) -> nn.Parameter:
            values = torch.empty(rows, width, dtype=weight.dtype)  # (rows, width)
            values.uniform_(-bound, bound, generator=generator)
            return nn.Parameter(values.to(weight.device))

        self.embedding = drawn(vocabulary_size, embedding_size, embedding_range)
        self.decoder = None if tied else drawn(vocabulary_size, hidden_size, embedding_range)
        self.projection = drawn(embedding_size, hidden_size, hidden_size**-0.5) if projects else None  # (E, H)
        self.decoder_bias = nn.Parameter(weight.new_zeros(vocabulary_size))
        self.tied_weights = ("embedding",) if tied else ()

    def forward(self, tokens: Tensor, hidden: Carry = None) -> LanguageModelOutput:
        """Score the word after each word of a segment.

        Args:
            tokens: Word numbers, (T, B).
            hidden: State to start from, as `LanguageModelOutput.hidden`; zeros when None.
        """
        raw, last = self.read(tokens, hidden)  # (T, B, H)
        dropped = locked_dropout(raw, self.dropout, self.training)
        decoder = self.embedding if self.decoder is None else self.decoder
        read = dropped if self.projection is None else F.linear(dropped, self.projection)  # (T, B, E)
        logits = F.linear(read, decoder, self.decoder_bias)  # (T, B, V)
        return LanguageModelOutput(logits, last, raw, dropped)

    def read(self, tokens: Tensor, hidden: Carry = None) -> tuple[Tensor, Carry]:
        """Run the recurrent layer alone; returns its outputs (T, B, H) and its state after the last step."""
        embedded = embed(tokens, self.embedding, self.dropout_e, self.training)  # (T, B, E)
        embedded = locked_dropout(embedded, self.dropout_i, self.training)
        return cast("tuple[Tensor, Carry]", self.rnn(embedded, hidden))


def detach(hidden: Carry) -> Carry:
    """Cut a carried state, whatever tuples it is made of, off from the segment that made it."""
    return hidden.detach() if isinstance(hidden, Tensor) else tuple(detach(part) for part in hidden)

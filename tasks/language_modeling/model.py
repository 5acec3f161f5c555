"""The language model: embedding, a recurrent layer that is given, decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tasks.language_modeling.softmax import PADDING, AdaptiveSoftmax, chunked_losses
from tasks.layers.dropout import embed, locked_dropout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.problem import Carry

EMBEDDING_RANGE = 0.04


class Encoded(NamedTuple):
    """What the recurrent layer makes of one segment of text; fields as in `LanguageModelOutput`."""

    hidden: Carry
    raw: Tensor
    dropped: Tensor


class LanguageModelOutput(NamedTuple):
    """What one segment of text gives.

    Attributes:
        logits: Scores of the next word, (T, B, V); logarithms of probabilities with an adaptive softmax.
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
        cutoffs: Where the clusters of an adaptive softmax begin, which is then the decoder; None for none.
        chunk: Words whose scores `losses` computes at once; 0 takes all.
        embedding_range: Embedding and decoder are uniform in ± this; the decoder's bias is zero.
        generator: Draws them, a CPU generator; torch's default when None.

    Raises:
        ValueError: Tied around a layer whose outputs are not as wide as its inputs, or to an adaptive softmax.
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
        cutoffs: Sequence[int] | None = None,
        chunk: int = 0,
        embedding_range: float = EMBEDDING_RANGE,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        embedding_size, hidden_size = cast("Any", rnn).input_size, cast("Any", rnn).hidden_size
        if tied and not projects and embedding_size != hidden_size:
            raise ValueError(
                f"a tied decoder needs embedding_size == hidden_size, not {embedding_size} and {hidden_size}"
            )
        if tied and cutoffs is not None:
            raise ValueError("an adaptive softmax cannot be tied to the embedding")
        self.dropout = dropout
        self.dropout_e = dropout_e
        self.dropout_i = dropout_i
        self.chunk = chunk
        self.rnn = rnn
        weight = next(rnn.parameters())

        def drawn(rows: int, width: int, bound: float) -> nn.Parameter:
            values = torch.empty(rows, width, dtype=weight.dtype)  # (rows, width)
            values.uniform_(-bound, bound, generator=generator)
            return nn.Parameter(values.to(weight.device))

        self.embedding = drawn(vocabulary_size, embedding_size, embedding_range)
        full = not tied and cutoffs is None
        self.decoder = drawn(vocabulary_size, hidden_size, embedding_range) if full else None
        self.projection = drawn(embedding_size, hidden_size, hidden_size**-0.5) if projects else None  # (E, H)
        self.decoder_bias = nn.Parameter(weight.new_zeros(vocabulary_size)) if cutoffs is None else None
        self.adaptive = (
            None
            if cutoffs is None
            else AdaptiveSoftmax(hidden_size, vocabulary_size, cutoffs, generator, weight)
        )
        self.tied_weights = ("embedding",) if tied else ()

    def forward(self, tokens: Tensor, hidden: Carry = None) -> LanguageModelOutput:
        """Score the word after each word of a segment.

        Args:
            tokens: Word numbers, (T, B).
            hidden: State to start from, as `LanguageModelOutput.hidden`; zeros when None.
        """
        last, raw, dropped = self.encode(tokens, hidden)
        return LanguageModelOutput(self.scores(dropped), last, raw, dropped)

    def encode(self, tokens: Tensor, hidden: Carry = None) -> Encoded:
        """Read a segment, without scores; arguments as in `forward`."""
        raw, last = self.read(tokens, hidden)  # (T, B, H)
        return Encoded(last, raw, locked_dropout(raw, self.dropout, self.training))

    def scores(self, dropped: Tensor) -> Tensor:
        """Scores of all words, (T, B, V), after outputs (T, B, H)."""
        if self.adaptive is not None:
            return self.adaptive.log_probabilities(dropped)
        return F.linear(self._projected(dropped), self._decoder, self.decoder_bias)

    def losses(self, dropped: Tensor, targets: Tensor) -> Tensor:
        """Negative log-likelihood of each word in nats.

        Args:
            dropped: Outputs, (T, B, H).
            targets: Word numbers, (T, B); the loss of `PADDING` is 0.

        Returns:
            (T, B).
        """
        flat = targets.flatten()
        if self.adaptive is not None:
            found = self.adaptive.losses(dropped.flatten(0, 1), flat)
        elif self.chunk and self.decoder_bias is not None:
            read = self._projected(dropped).flatten(0, 1)  # (T * B, E)
            found = chunked_losses(read, flat, self._decoder, self.decoder_bias, self.chunk)
        else:
            scores = self.scores(dropped).flatten(0, 1)  # (T * B, V)
            found = F.cross_entropy(scores, flat, reduction="none", ignore_index=PADDING)
        return found.view_as(targets)

    @property
    def _decoder(self) -> Tensor:
        return self.embedding if self.decoder is None else self.decoder

    def _projected(self, dropped: Tensor) -> Tensor:
        return dropped if self.projection is None else F.linear(dropped, self.projection)  # (T, B, E)

    def read(self, tokens: Tensor, hidden: Carry = None) -> tuple[Tensor, Carry]:
        """Run the recurrent layer alone; returns its outputs (T, B, H) and its state after the last step."""
        embedded = embed(tokens, self.embedding, self.dropout_e, self.training)  # (T, B, E)
        embedded = locked_dropout(embedded, self.dropout_i, self.training)
        return cast("tuple[Tensor, Carry]", self.rnn(embedded, hidden))


def detach(hidden: Carry) -> Carry:
    """Cut a carried state, whatever tuples it is made of, off from the segment that made it."""
    return hidden.detach() if isinstance(hidden, Tensor) else tuple(detach(part) for part in hidden)

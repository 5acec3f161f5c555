"""The language model: embedding, a given recurrent layer, and decoder."""

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
    """Output of the recurrent layer for one segment of text; fields as in `LanguageModelOutput`."""

    hidden: Carry
    raw: Tensor
    dropped: Tensor


class LanguageModelOutput(NamedTuple):
    """Output of the model for one segment of text.

    Attributes:
        logits: Scores of the next word, (T, B, V); log-probabilities with an adaptive softmax.
        hidden: State after the last step, as the recurrent layer returns it.
        raw: Outputs of the recurrent layer, (T, B, H), for temporal activation regularisation.
        dropped: The same after locked dropout, (T, B, H), for activation regularisation.
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
        rnn: The recurrent layer, initialised; the other weights are created with its device and dtype.
        vocabulary_size: V.
        dropout: Locked dropout on the outputs of the recurrent layer.
        dropout_e: Dropout of whole words in the embedding.
        dropout_i: Locked dropout on embedded words.
        tied: Whether embedding and decoder share one tensor.
        projects: Whether a linear map without bias projects the outputs of the recurrent layer to the embedding
            size, so that a tied decoder fits a layer of any width.
        cutoffs: First words of the clusters of an adaptive softmax, which is then the decoder; None for a full
            softmax.
        chunk: Number of words whose scores `losses` computes at once; 0 for all.
        embedding_range: Embedding and decoder are initialised uniformly in ± this, the decoder's bias to zero.
        generator: Draws the initial weights; a CPU generator, or None for torch's default.

    Raises:
        ValueError: `tied` with different input and hidden sizes but without `projects`, or with `cutoffs`.
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
            hidden: Initial state, as `LanguageModelOutput.hidden`; None for zeros.
        """
        last, raw, dropped = self.encode(tokens, hidden)
        return LanguageModelOutput(self.scores(dropped), last, raw, dropped)

    def encode(self, tokens: Tensor, hidden: Carry = None) -> Encoded:
        """Run everything below the decoder; arguments as in `forward`."""
        raw, last = self.read(tokens, hidden)  # (T, B, H)
        return Encoded(last, raw, locked_dropout(raw, self.dropout, self.training))

    def scores(self, dropped: Tensor) -> Tensor:
        """Compute the scores of all words, (T, B, V), from outputs (T, B, H)."""
        if self.adaptive is not None:
            return self.adaptive.log_probabilities(dropped)
        return F.linear(self._projected(dropped), self._decoder, self.decoder_bias)

    def losses(self, dropped: Tensor, targets: Tensor) -> Tensor:
        """Compute the negative log-likelihood of each word in nats.

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
        """Run embedding and recurrent layer; returns outputs (T, B, H) and the state after the last step."""
        embedded = embed(tokens, self.embedding, self.dropout_e, self.training)  # (T, B, E)
        embedded = locked_dropout(embedded, self.dropout_i, self.training)
        return cast("tuple[Tensor, Carry]", self.rnn(embedded, hidden))


def detach(hidden: Carry) -> Carry:
    """Detach a state, which may consist of nested tuples, from the computation graph."""
    return hidden.detach() if isinstance(hidden, Tensor) else tuple(detach(part) for part in hidden)

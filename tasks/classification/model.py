"""The classifier: word vectors, a recurrent layer, and a head that pools, compares pairs and classifies."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from cellzoo.heads import TextHead

if TYPE_CHECKING:
    from tasks.classification.settings import ClassificationSettings


class Texts(NamedTuple):
    """A batch of padded texts.

    Attributes:
        words: Word numbers, (T, B), padded with 0.
        lengths: Words of each text, (B,), on the CPU, each at least 1.
        context: Frozen features of each word, (T, B, E'), or None.
    """

    words: Tensor
    lengths: Tensor
    context: Tensor | None = None


class ExampleBatch(NamedTuple):
    """A batch of examples.

    Attributes:
        texts: The texts; for pairs all first texts, then all second texts, (T, 2 B).
        labels: (B,): class numbers, or scores as floats.
    """

    texts: Texts
    labels: Tensor


class TextClassifier(nn.Module):
    """Word vectors, a recurrent layer, and `cellzoo.heads.TextHead`.

    Args:
        rnn: The recurrent layer.
        vectors: Word vectors, (V, E); row 0 is padding.
        settings: Settings of the model.
        outputs: Number of classes; 1 for scores.
        pairs: Whether examples are pairs.
        trainable: Whether the vectors are trained.
    """

    def __init__(
        self,
        rnn: nn.Module,
        vectors: Tensor,
        settings: ClassificationSettings,
        outputs: int,
        *,
        pairs: bool,
        trainable: bool,
    ) -> None:
        super().__init__()
        self.dropout = settings.dropout
        self.rnn = rnn
        self.vectors = nn.Parameter(vectors, requires_grad=trainable)
        self.head = TextHead(
            settings.hidden_size * (2 if settings.bidirectional else 1),
            outputs,
            units=settings.mlp_size,
            pairs=pairs,
            cross_attention=settings.cross_attention,
            pooling=settings.pooling,
            bidirectional=settings.bidirectional,
            dropout=settings.dropout,
        )

    def forward(self, texts: Texts) -> Tensor:
        """Score the classes of each example, (B, classes)."""
        packed = pack_padded_sequence(texts.words, texts.lengths, enforce_sorted=False)
        embedded = F.embedding(packed.data, self.vectors)  # (N, E)
        if texts.context is not None:
            context = pack_padded_sequence(texts.context, texts.lengths, enforce_sorted=False)
            embedded = torch.cat([embedded, context.data], dim=1)  # (N, E + E')
        embedded = F.dropout(embedded, self.dropout, self.training)
        outputs, _ = self.rnn(packed._replace(data=embedded))
        states = pad_packed_sequence(outputs, batch_first=True)[0]  # (B', T, D)
        scores: Tensor = self.head(states, texts.lengths)
        return scores

"""The classifier: word vectors, a recurrent layer, pooling, comparison of pairs, a hidden layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

if TYPE_CHECKING:
    from tasks.classification.settings import ClassificationSettings

_LOWEST = -1e9
"""Score of a word that is padding: exp of it is 0 in every dtype."""


class Texts(NamedTuple):
    """Texts side by side.

    Attributes:
        words: Word numbers, (T, B), padded with 0.
        lengths: Words of each text, (B,), on the CPU, each at least 1.
    """

    words: Tensor
    lengths: Tensor


class ExampleBatch(NamedTuple):
    """A batch.

    Attributes:
        texts: The texts; of pairs first all first ones, then all second ones, (T, 2 B).
        labels: (B,): class numbers, or scores as floats.
    """

    texts: Texts
    labels: Tensor


class TextClassifier(nn.Module):
    """Encode each text; compare pairs as [u; v; |u - v|; u * v] (Conneau et al. 2017, section 3).

    With cross-attention each state u_i is first compared with what it attends to in the other text, a_i, by a
    layer over [u_i; a_i; |u_i - a_i|; u_i * a_i] (Chen et al. 2017, ESIM, equations 11 to 15, without their
    second LSTM).

    Args:
        rnn: The recurrent layer.
        vectors: Word vectors, (V, E); row 0 is padding.
        settings: See there.
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
        self.settings = settings
        self.pairs = pairs
        self.rnn = rnn
        self.vectors = nn.Parameter(vectors, requires_grad=trainable)
        width = settings.hidden_size * (2 if settings.bidirectional else 1)
        self.compare = nn.Linear(4 * width, width) if pairs and settings.cross_attention else None
        self.hidden = nn.Linear(4 * width if pairs else width, settings.mlp_size)
        self.output = nn.Linear(settings.mlp_size, outputs)

    def forward(self, texts: Texts) -> Tensor:
        """Score the classes of each example, (B, classes)."""
        states = self._encode(texts)  # (B', T, D)
        inside = self._inside(texts.lengths, states)  # (B', T)
        if self.pairs:
            half = len(texts.lengths) // 2
            first, here = _cut(states[:half], inside[:half], int(texts.lengths[:half].max()))
            second, there = _cut(states[half:], inside[half:], int(texts.lengths[half:].max()))
            if self.compare is not None:
                first, second = self._attended(first, second, here, there)
            u, v = self._pooled(first, here), self._pooled(second, there)  # (B, D)
            features = torch.cat([u, v, (u - v).abs(), u * v], dim=1)  # (B, 4 D)
        else:
            features = self._pooled(states, inside)
        hidden = torch.relu(self.hidden(self._drop(features)))  # (B, M)
        return self.output(self._drop(hidden))

    def _encode(self, texts: Texts) -> Tensor:
        packed = pack_padded_sequence(texts.words, texts.lengths, enforce_sorted=False)
        embedded = self._drop(F.embedding(packed.data, self.vectors))  # (N, E)
        outputs, _ = self.rnn(packed._replace(data=embedded))
        return pad_packed_sequence(outputs, batch_first=True)[0]

    def _inside(self, lengths: Tensor, states: Tensor) -> Tensor:
        steps = torch.arange(states.size(1), device=states.device)  # (T,)
        return steps < lengths.to(states.device).unsqueeze(1)

    def _attended(self, first: Tensor, second: Tensor, here: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """Compare every state with what it attends to in the other text; (B, T1, D) and (B, T2, D)."""
        scores = first @ second.transpose(1, 2) / first.size(2) ** 0.5  # (B, T1, T2)
        to_second = scores.masked_fill(~there.unsqueeze(1), _LOWEST).softmax(2)
        to_first = scores.masked_fill(~here.unsqueeze(2), _LOWEST).softmax(1)
        heard_first, heard_second = to_second @ second, to_first.transpose(1, 2) @ first
        return self._compared(first, heard_first, here), self._compared(second, heard_second, there)

    def _compared(self, states: Tensor, heard: Tensor, inside: Tensor) -> Tensor:
        """Compare words with what they attend to; padding, most of a batch, costs nothing and becomes 0."""
        assert self.compare is not None  # noqa: S101 - the caller has seen to it
        places = inside.flatten().nonzero().squeeze(1)  # (N,)
        u, a = (values.flatten(0, 1).index_select(0, places) for values in (states, heard))  # (N, D)
        compared = torch.relu(self.compare(torch.cat([u, a, (u - a).abs(), u * a], dim=1)))  # (N, D)
        padded = states.new_zeros(inside.numel(), states.size(2)).index_copy(0, places, compared)
        return padded.view_as(states)

    def _pooled(self, states: Tensor, inside: Tensor) -> Tensor:
        """What stands for each text, (B, D)."""
        if self.settings.pooling == "max":
            return states.masked_fill(~inside.unsqueeze(2), _LOWEST).amax(1)
        lengths = inside.sum(1)  # (B,)
        if self.settings.pooling == "mean":
            return (states * inside.unsqueeze(2)).sum(1) / lengths.unsqueeze(1)
        last = states[torch.arange(len(states), device=states.device), lengths - 1]  # (B, D)
        if not self.settings.bidirectional:
            return last
        half = states.size(2) // 2
        return torch.cat([last[:, :half], states[:, 0, half:]], dim=1)

    def _drop(self, values: Tensor) -> Tensor:
        return F.dropout(values, self.settings.dropout, self.training)


def _cut(states: Tensor, inside: Tensor, longest: int) -> tuple[Tensor, Tensor]:
    """Leave out the steps that are padding in all texts: one side of pairs is often much shorter."""
    return states[:, :longest].contiguous(), inside[:, :longest]

"""The classifier head above a recurrent layer, for texts and pairs of texts."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Pooling: TypeAlias = Literal["max", "mean", "last"]


class TextHead(nn.Module):
    """Pool each text, compare pairs as [u; v; |u - v|; u * v] (Conneau et al. 2017, section 3), and classify.

    With cross-attention each state u_i is first compared with the attended state of the other text, a_i, by a
    layer over [u_i; a_i; |u_i - a_i|; u_i * a_i] (Chen et al. 2017, ESIM, equations 11 to 15, without their
    second LSTM).

    Args:
        width: D, the width of a state.
        outputs: Number of classes; 1 for scores.
        units: Units of the hidden layer.
        pairs: Whether examples are pairs.
        cross_attention: See above; only for pairs.
        pooling: How the states of a text are pooled: the maximum of each unit, the mean, or the last state.
        bidirectional: Whether the second half of a state belongs to the backward direction, whose last state is
            that of the first word.
        dropout: Probability of dropout on the pooled features, and on the hidden layer.
    """

    def __init__(
        self,
        width: int,
        outputs: int,
        *,
        units: int,
        pairs: bool,
        cross_attention: bool,
        pooling: Pooling,
        bidirectional: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.pairs = pairs
        self.pooling = pooling
        self.bidirectional = bidirectional
        self.dropout = dropout
        self.compare = nn.Linear(4 * width, width) if pairs and cross_attention else None
        self.hidden = nn.Linear(4 * width if pairs else width, units)
        self.output = nn.Linear(units, outputs)

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        """Score the classes of each example.

        Args:
            states: (B', T, D), with B' = B, or 2 B for pairs: all first texts, then all second ones. Finite
                also beyond the end of a text.
            lengths: Number of words of each text, (B',), on the CPU, each at least 1.

        Returns:
            Scores (B, outputs).
        """
        steps = torch.arange(states.size(1), device=states.device)  # (T,)
        inside = steps < lengths.to(states.device).unsqueeze(1)  # (B', T)
        if self.pairs:
            half = len(lengths) // 2
            first, here = _cut(states[:half], inside[:half], int(lengths[:half].max()))
            second, there = _cut(states[half:], inside[half:], int(lengths[half:].max()))
            if self.compare is not None:
                first, second = self._attended(first, second, here, there)
            u, v = self._pooled(first, here), self._pooled(second, there)  # (B, D)
            features = torch.cat([u, v, (u - v).abs(), u * v], dim=1)  # (B, 4 D)
        else:
            features = self._pooled(states, inside)
        hidden = torch.relu(self.hidden(self._drop(features)))  # (B, units)
        scores: Tensor = self.output(self._drop(hidden))
        return scores

    def _attended(self, first: Tensor, second: Tensor, here: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """Compare every state with the attended state of the other text; (B, T1, D) and (B, T2, D)."""
        scores = first @ second.transpose(1, 2) / first.size(2) ** 0.5  # (B, T1, T2)
        lowest = torch.finfo(scores.dtype).min  # softmax makes it 0
        to_second = scores.masked_fill(~there.unsqueeze(1), lowest).softmax(2)
        to_first = scores.masked_fill(~here.unsqueeze(2), lowest).softmax(1)
        attended_by_first, attended_by_second = to_second @ second, to_first.transpose(1, 2) @ first
        return self._compared(first, attended_by_first, here), self._compared(second, attended_by_second, there)

    def _compared(self, states: Tensor, attended: Tensor, inside: Tensor) -> Tensor:
        """Compare words with what they attend to. Padding, often most of a batch, is skipped and becomes 0."""
        assert self.compare is not None  # noqa: S101 - called only with cross-attention
        places = inside.flatten().nonzero().squeeze(1)  # (N,)
        u, a = (values.flatten(0, 1).index_select(0, places) for values in (states, attended))  # (N, D)
        compared = torch.relu(self.compare(torch.cat([u, a, (u - a).abs(), u * a], dim=1)))  # (N, D)
        padded = states.new_zeros(inside.numel(), states.size(2)).index_copy(0, places, compared)
        return padded.view_as(states)

    def _pooled(self, states: Tensor, inside: Tensor) -> Tensor:
        """Pool the states of each text, (B, D)."""
        if self.pooling == "max":
            return states.masked_fill(~inside.unsqueeze(2), torch.finfo(states.dtype).min).amax(1)
        lengths = inside.sum(1)  # (B,)
        if self.pooling == "mean":
            return (states * inside.unsqueeze(2)).sum(1) / lengths.unsqueeze(1)
        last = states[torch.arange(len(states), device=states.device), lengths - 1]  # (B, D)
        if not self.bidirectional:
            return last
        half = states.size(2) // 2
        return torch.cat([last[:, :half], states[:, 0, half:]], dim=1)

    def _drop(self, values: Tensor) -> Tensor:
        return F.dropout(values, self.dropout, self.training)


def _cut(states: Tensor, inside: Tensor, longest: int) -> tuple[Tensor, Tensor]:
    """Remove the steps that are padding in all texts: one side of pairs is often much shorter."""
    return states[:, :longest].contiguous(), inside[:, :longest]

"""Output layers for vocabularies whose scores do not fit into memory: chunked and adaptive softmax."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tasks.training.streams import default_generator

if TYPE_CHECKING:
    from collections.abc import Sequence

PADDING = -100
"""Target that is ignored (the default `ignore_index` of torch's cross entropy)."""


def chunked_losses(read: Tensor, targets: Tensor, decoder: Tensor, bias: Tensor, rows: int) -> Tensor:
    """Compute negative log-likelihoods with the scores of only `rows` words in memory at a time.

    The backward pass recomputes the scores.

    Args:
        read: Inputs of the decoder, (N, W).
        targets: Word numbers, (N,); the loss of `PADDING` is 0.
        decoder: (V, W).
        bias: (V,).
        rows: Number of words whose scores are computed at once.

    Returns:
        (N,) in nats.
    """
    parts = zip(read.split(rows), targets.split(rows), strict=True)
    return torch.cat(
        [cast("Tensor", checkpoint(_losses, *part, decoder, bias, use_reentrant=False)) for part in parts]
    )


def _losses(read: Tensor, targets: Tensor, decoder: Tensor, bias: Tensor) -> Tensor:
    scores = F.linear(read, decoder, bias)  # (rows, V)
    return F.cross_entropy(scores, targets, reduction="none", ignore_index=PADDING)


class AdaptiveSoftmax(nn.Module):
    """torch's adaptive softmax (Grave et al. 2017, arXiv 1609.04309); words are sorted by descending frequency.

    Args:
        width: Size of the inputs.
        words: V, the size of the vocabulary.
        cutoffs: First words of the clusters of rarer words; each has a quarter of the width of the one before.
        generator: Draws the initial weights; None for torch's default.
        like: A tensor whose device and dtype the weights get.

    Raises:
        ValueError: The cutoffs are not in ascending order, or beyond the vocabulary.
    """

    def __init__(
        self, width: int, words: int, cutoffs: Sequence[int], generator: torch.Generator | None, like: Tensor
    ) -> None:
        super().__init__()
        generator = generator or torch.Generator().manual_seed(torch.initial_seed() % 2**63)
        with default_generator(generator):
            self.layer = nn.AdaptiveLogSoftmaxWithLoss(
                width, words, list(cutoffs), div_value=4.0, dtype=like.dtype
            )
        self.layer.to(like.device)

    def losses(self, read: Tensor, targets: Tensor) -> Tensor:
        """Compute negative log-likelihoods (N,) of words (N,); the loss of `PADDING` is 0."""
        known = targets != PADDING
        found: Tensor = self.layer(read, targets.where(known, 0)).output
        return -found * known

    def log_probabilities(self, read: Tensor) -> Tensor:
        """Compute the log-probabilities of all words, (..., V), from inputs (..., W)."""
        flat = self.layer.log_prob(read.flatten(0, -2))
        return flat.view(*read.shape[:-1], -1)


def default_cutoffs(words: int) -> tuple[int, ...]:
    """Cutoffs with a twentieth of the vocabulary in the head and a fifth of it in the first cluster."""
    head, first = max(1, words // 20), max(2, words // 4)
    return (head, first) if head < first < words else (max(1, words // 2),)

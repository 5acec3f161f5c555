"""The two kinds of dropout that a recurrent language model needs besides the cell's own masks.

Both draw from torch's default generator of the device, as every dropout layer of torch does.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def locked_dropout(values: Tensor, probability: float, training: bool) -> Tensor:
    """Drop the same units at every time step of a sequence (Gal and Ghahramani, arXiv 1512.05287).

    Args:
        values: (T, B, H).
        probability: Share of (sequence, unit) pairs that become zero; the rest is scaled by 1 / (1 - p).
        training: When false, `values` come back as they are.

    Returns:
        (T, B, H).
    """
    if not training or probability == 0.0:
        return values
    keep = 1.0 - probability
    mask = torch.empty_like(values[:1]).bernoulli_(keep).div_(keep)  # (1, B, H)
    return values * mask


def embed(tokens: Tensor, weight: Tensor, probability: float, training: bool) -> Tensor:
    """Look words up, with dropout of whole words (Gal and Ghahramani; `dropoute` of AWD-LSTM).

    A dropped word is zero wherever it occurs in `tokens`; the other words are scaled by 1 / (1 - p).

    Args:
        tokens: Word numbers, (T, B).
        weight: Embeddings, (V, E).
        probability: Share of the vocabulary that is dropped.
        training: When false, nothing is dropped.

    Returns:
        (T, B, E).
    """
    embedded = F.embedding(tokens, weight)  # (T, B, E)
    if not training or probability == 0.0:
        return embedded
    keep = 1.0 - probability
    mask = weight.new_empty(weight.shape[0], 1).bernoulli_(keep).div_(keep)  # (V, 1)
    return embedded * F.embedding(tokens, mask)  # (T, B, 1)

"""Viterbi decoding of a linear-chain conditional random field for a whole batch (Viterbi, 1967)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def best_tags(
    emissions: Tensor, transitions: Tensor, lengths: Tensor, start: int, stop: int
) -> list[list[int]]:
    """Find the most likely tag sequences. Same result as Flair's decoder, but without confidences.

    Args:
        emissions: Score of each tag for each token, (B, T, K); rows beyond a sequence's length are ignored.
        transitions: (K, K), `[to, from]`.
        lengths: (B,), on the CPU, in descending order.
        start: The tag before each sequence.
        stop: The tag after each sequence.
    """
    steps = emissions.size(1)
    running = (lengths.unsqueeze(1) > torch.arange(steps)).sum(0).tolist()  # sequences that have a step
    best = emissions[:, 0] + transitions[:, start]  # (B, K)
    pointers = []
    for step in range(1, steps):
        size = running[step]
        arcs = emissions[:size, step].unsqueeze(2) + transitions + best[:size].unsqueeze(1)  # (b, to K, from K)
        scores, pointer = arcs.max(2)
        pointers.append(pointer)
        best = torch.cat([scores, best[size:]])
    tags = (best + transitions[stop]).argmax(1)  # (B,)
    path = [tags]
    for pointer in reversed(pointers):
        size = len(pointer)
        before = pointer.gather(1, tags[:size].unsqueeze(1)).squeeze(1)  # (b,)
        tags = torch.cat([before, tags[size:]])
        path.append(tags)
    rows = torch.stack(path[::-1], dim=1).tolist()  # B x T
    return [row[:length] for row, length in zip(rows, lengths.tolist(), strict=True)]

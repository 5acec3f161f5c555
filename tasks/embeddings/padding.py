"""Convert rows of sequences to padded sequences with a single copy, in the forward and the backward pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

if TYPE_CHECKING:
    from torch import Tensor


def pad(rows: Tensor, lengths: Tensor) -> Tensor:
    """Pad sequences with zeros.

    Args:
        rows: Sequence after sequence, (N, E).
        lengths: (B,), on the CPU.

    Returns:
        (B, T, E).
    """
    inside = torch.arange(int(lengths.max())) < lengths.unsqueeze(1)  # (B, T)
    return _place(rows, inside.flatten().nonzero().squeeze(1), inside.shape)


def pad_packed(packed: PackedSequence, lengths: Tensor) -> Tensor:
    """The same as `pad_packed_sequence` with `batch_first=True`, but faster.

    The backward pass of torch's function copies the whole gradient once for each length that occurs.

    Args:
        packed: Packed with `lengths` and `enforce_sorted=True`; its data are (N, E).
        lengths: (B,), on the CPU, in descending order.

    Returns:
        (B, T, E).
    """
    size = (len(lengths), len(packed.batch_sizes))
    places = torch.arange(size[0] * size[1]).view(size)  # (B, T)
    return _place(packed.data, pack_padded_sequence(places, lengths, batch_first=True).data, size)


def _place(rows: Tensor, places: Tensor, size: tuple[int, ...]) -> Tensor:
    padded = rows.new_zeros(size[0] * size[1], rows.size(1))  # (B T, E)
    return padded.index_copy(0, places.to(rows.device), rows).view(*size, rows.size(1))

"""The last states of a torch.nn.LSTM over many short sequences.

With states as small as those of characters, torch.nn.LSTM on a CPU spends its time on starting operations.
The native engine takes a third of its time, so it runs the LSTM's weights wherever it is there.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch

from cellzoo import load
from cellzoo.runtime import prepare
from cellzoo.runtime.auto import choose

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.nn.utils.rnn import PackedSequence

    from cellzoo.runtime import Runtime


def last_states(rnn: nn.LSTM, packed: PackedSequence) -> Tensor:
    """Run a bidirectional LSTM of one layer, H wide, from zeros.

    Args:
        rnn: The LSTM, with biases.
        packed: The sequences.

    Returns:
        The forward direction's state at each last step and the backward direction's at each first, (2, B, H),
        the sequences in the order in which they were packed.
    """
    if choose(packed.data.device, packed.data.dtype) != "native":
        return rnn(packed)[1][0]
    sizes = packed.batch_sizes.tolist()
    zeros = packed.data.new_zeros(sizes[0], rnn.hidden_size)  # (B, H)
    last = []
    for suffix, reverse in (("", False), ("_reverse", True)):
        weights = _weights(rnn, suffix)
        _, (state, _) = _engine()(packed.data, sizes, (zeros, zeros), weights, reverse=reverse)
        last.append(state)
    states = torch.stack(last)  # (2, B, H)
    return states if packed.unsorted_indices is None else states.index_select(1, packed.unsorted_indices)


@cache
def _engine() -> Runtime:
    return prepare("native", load("lstm"))


def _weights(rnn: nn.LSTM, suffix: str) -> dict[str, Tensor]:
    """Name one direction's weights as the cell does; torch's four gates are i, f, g, o."""
    bias = getattr(rnn, f"bias_ih_l0{suffix}") + getattr(rnn, f"bias_hh_l0{suffix}")
    parts = (getattr(rnn, f"weight_ih_l0{suffix}"), getattr(rnn, f"weight_hh_l0{suffix}"), bias)
    return {
        f"{gate}_1_{part}": weight
        for part, whole in zip("01b", parts, strict=True)
        for gate, weight in zip("ifgo", whole.chunk(4), strict=True)
    }

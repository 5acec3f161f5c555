"""Layers of other libraries: torch's own, also in bfloat16, and those of torchrecurrent.

There are two ways to run nn.LSTM in bfloat16: as a module in bfloat16 with input in bfloat16, and in float32
under autocast. Which one is faster depends on the batch.

torchrecurrent (github.com/MartinuzziFrancesco/torchrecurrent) has many of the zoo's cells, as layers that loop
over padded sequences in Python.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch
from torch import nn

from cellzoo.bench.case import GRU, LSTM, LSTM_AUTOCAST, LSTM_BF16, TORCHRECURRENT, Shape
from cellzoo.catalog import load

if TYPE_CHECKING:
    from cellzoo.cells.cell import Cell

_TORCH = {LSTM: "lstm", LSTM_BF16: "lstm", LSTM_AUTOCAST: "lstm", GRU: "gru"}
# Cells of the zoo -> layers of torchrecurrent with the same equations, except for biases.
COUNTERPARTS = {
    "atr": "ATR",
    "brc": "BR",
    "cfn": "CFN",
    "cornn": "coRNN",
    "fastgrnn": "FastGRNN",
    "fastrnn": "FastRNN",
    "indrnn": "IndRNN",
    "intersection-rnn": "IntersectionRNN",
    "janet": "JANET",
    "lem": "LEM",
    "lightru": "LightRU",
    "ligru": "LiGRU",
    "lstm-1997": "OriginalLSTM",
    "mc-lstm": "MCLSTM",
    "mgu": "MGU",
    "minimalrnn": "MinimalRNN",
    "multiplicative-lstm": "MultiplicativeLSTM",
    "mut1": "MUT1",
    "mut2": "MUT2",
    "mut3": "MUT3",
    "nascell": "NAS",
    "nbrc": "NBR",
    "peephole-lstm": "PeepholeLSTM",
    "ran": "RAN",
    "residual-lstm": "ResLSTM",
    "scrn": "SCRN",
    "sgrn": "SGRN",
    "sgu": "SGU",
    "star": "STAR",
    "t-gru": "TGRU",
    "t-lstm": "TLSTM",
    "t-rnn": "TRNN",
    "tau-gru": "tauGRU",
    "ugrnn": "UGRNN",
    "unicornn": "UnICORNN",
    "wmc-lstm": "WMCLSTM",
}
# Constructor arguments of these layers besides the sizes.
_OPTIONS = {"indrnn": {"nonlinearity": "relu"}}


def has_torchrecurrent() -> bool:
    """Whether torchrecurrent is installed."""
    return find_spec(TORCHRECURRENT) is not None


def has_counterpart(cell: Cell) -> bool:
    """Whether torchrecurrent has the cell; it need not be installed."""
    return cell.name in COUNTERPARTS and load(cell.name).hash == cell.hash


def cell_of(name: str, cell: Cell) -> Cell:
    """The cell that a layer computes, whose number of FLOPs is used for it."""
    return load(_TORCH[name]) if name in _TORCH else cell


def build_layer(name: str, cell: Cell, shape: Shape, dtype: torch.dtype) -> nn.Module:
    """Build a layer of another library.

    Args:
        name: One of `cellzoo.bench.case.OTHERS`.
        cell: The cell, for a layer of torchrecurrent.
        shape: The sizes.
        dtype: Data type of its weights.
    """
    sizes = shape.input_size, shape.hidden_size
    if name == TORCHRECURRENT:
        build = getattr(import_module(name), COUNTERPARTS[cell.name])
        layer: nn.Module = build(*sizes, **_OPTIONS.get(cell.name, {}))
        return layer.to(dtype)
    kind = nn.GRU if name == GRU else nn.LSTM
    return kind(*sizes, bidirectional=shape.packed, dtype=dtype)

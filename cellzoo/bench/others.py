"""Layers that others wrote: torch's own, also in bfloat16, and those of torchrecurrent.

nn.LSTM computes in bfloat16 in two ways, and which of them is faster depends on the batch: as a module of
bfloat16 with input of bfloat16, and as it is under autocast.

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
# Cells of the zoo -> torchrecurrent's layers that have the same equations, but for biases.
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
# What its layers are built with besides the sizes.
_OPTIONS = {"indrnn": {"nonlinearity": "relu"}}


def has_torchrecurrent() -> bool:
    """Whether it is installed."""
    return find_spec(TORCHRECURRENT) is not None


def has_counterpart(cell: Cell) -> bool:
    """Whether torchrecurrent has the cell, installed or not."""
    return cell.name in COUNTERPARTS and load(cell.name).hash == cell.hash


def cell_of(name: str, cell: Cell) -> Cell:
    """The cell that a layer of others runs, whose floating-point operations it is taken to have."""
    return load(_TORCH[name]) if name in _TORCH else cell


def build_layer(name: str, cell: Cell, shape: Shape, dtype: torch.dtype) -> nn.Module:
    """Build a layer of others.

    Args:
        name: One of `cellzoo.bench.case.OTHERS`.
        cell: What torchrecurrent's is to compute.
        shape: The sizes.
        dtype: Of its weights.
    """
    sizes = shape.input_size, shape.hidden_size
    if name == TORCHRECURRENT:
        build = getattr(import_module(name), COUNTERPARTS[cell.name])
        layer: nn.Module = build(*sizes, **_OPTIONS.get(cell.name, {}))
        return layer.to(dtype)
    kind = nn.GRU if name == GRU else nn.LSTM
    return kind(*sizes, bidirectional=shape.packed, dtype=dtype)

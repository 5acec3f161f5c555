"""Golden values of DARTS-format cells, made with rnn/model.py of quark0/darts in float64."""

from __future__ import annotations

import math

import torch

GOLDEN = {
    "darts-v1": (0.169221091972, [0.026506669, 0.0352253921, 0.0307721449, -0.0133645795]),
    "darts-v2": (3.229214347531, [0.1655958164, 0.1979130983, 0.2032400724, 0.1763758187]),
    "enas": (0.057960047514, [0.0213556044, 0.0174025739, 0.010706499, -0.0126623376]),
    "gdas": (-0.193537983955, [0.0363584869, 0.0640033452, 0.0495819942, -0.0447191539]),
    "nao": (0.384696015064, [0.0295663465, 0.0507666454, 0.0523279695, -0.0003064463]),
    "idarts-v1": (-0.177723890180, [0.0131900707, 0.004264165, 0.0020502523, -0.022142037]),
}
H = 4


def filled(shape: tuple[int, ...], index: int) -> torch.Tensor:
    count = math.prod(shape)
    return (0.5 * torch.sin(0.7 * torch.arange(count, dtype=torch.float64) + index)).view(shape)

"""Matrices of the reference code, laid into a cell of steps."""

from __future__ import annotations

import re

import torch


def lay(rnn, nodes, seed=0, x="x", h="h"):
    """Draw W_0 (E + H, 2 H) and W_i (H, 2 H), the half for the gate first, and copy them into `rnn`.

    Returns:
        The matrices, by node.
    """
    generator = torch.Generator().manual_seed(seed)
    weights = rnn.directions[0].weights
    width_x, width_h = rnn.input_size, rnn.hidden_size
    matrices = []
    laid = set()
    for node in range(nodes + 1):
        rows = width_h if node else width_x + width_h
        matrix = torch.randn(rows, 2 * width_h, dtype=torch.float64, generator=generator)
        matrices.append(matrix)
        for half, columns in (("c", matrix[:, :width_h]), ("u", matrix[:, width_h:])):
            parts = {f"{half}0_{x}": columns[:width_x], f"{half}0_{h}": columns[width_x:]}
            if node:
                parts = {name: columns for name in weights if re.fullmatch(rf"{half}{node}(_s\d+)?", name)}
            for name in parts.keys() & set(weights.keys()):
                with torch.no_grad():
                    weights[name].copy_(parts[name].T)
                laid.add(name)
    assert {name for name in weights if re.match(r"[cu]\d", name)} == laid
    return matrices


def random_input(steps, batch, width, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(steps, batch, width, dtype=torch.float64, generator=generator)

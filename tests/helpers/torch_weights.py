"""Copies torch.nn.LSTM's, GRU's and RNN's weights into the zoo's cells of the same name.

torch has two biases a gate where one is enough; ours is their sum, but for the candidate of the GRU, where
the reset gate stands between them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    import cellzoo

# Order of the gates in torch's stacked weights -> the cell's linear nodes.
GATES = {"lstm": ("i_1", "f_1", "g_1", "o_1"), "rnn": ("h_next_1",)}


def copy_weights(source: nn.RNNBase, target: cellzoo.CellRNN) -> None:
    with torch.no_grad():
        for direction, suffix in zip(target.directions, suffixes(source), strict=True):
            for name, value in mapped(source, target.cell.name, suffix, "sum").items():
                direction.weights[name].copy_(value)


def mapped(source: nn.RNNBase, cell: str, suffix: str, biases: str, grad: bool = False) -> dict:
    """Our parameter name -> torch's value (or gradient, where a shared bias has the gradient of either)."""

    def part(kind: str) -> tuple[torch.Tensor, ...]:
        parameter = getattr(source, f"{kind}_{suffix}")
        return (parameter.grad if grad else parameter.detach()).chunk(
            3 if cell == "gru" else len(GATES[cell]), dim=0
        )

    w_x, w_h = part("weight_ih"), part("weight_hh")
    b_x, b_h = (part("bias_ih"), part("bias_hh")) if source.bias else (None, None)

    def joined(k: int) -> torch.Tensor:
        return b_x[k] + b_h[k] if biases == "sum" else b_x[k]

    found = {}
    if cell == "gru":
        for k, gate in ((0, "r_1"), (1, "z_1")):
            found |= {f"{gate}_0": w_x[k], f"{gate}_1": w_h[k]}
            if source.bias:
                found[f"{gate}_b"] = joined(k)
        found |= {"n_1_0": w_x[2], "n_2_0": w_h[2]}
        if source.bias:
            found |= {"n_1_b": b_x[2], "n_2_b": b_h[2]}
        return found
    for k, gate in enumerate(GATES[cell]):
        found |= {f"{gate}_0": w_x[k], f"{gate}_1": w_h[k]}
        if source.bias:
            found[f"{gate}_b"] = joined(k)
    return found


def suffixes(source: nn.RNNBase) -> list[str]:
    ways = ("", "_reverse") if source.bidirectional else ("",)
    return [f"l{layer}{way}" for layer in range(source.num_layers) for way in ways]

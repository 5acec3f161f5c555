"""Supernets with numbers that the reference files were run with, and cells laid into supernets."""

from __future__ import annotations

import math
import re

import torch

from cellzoo.notations.steps.graph import NONE
from search.supernets.layout import CELL
from search.supernets.network import Supernet
from search.supernets.relaxation import Chosen
from tasks.problem import LayerSpec

DOUBLE = torch.float64


def wave(shape, index=0, scale=0.5, step=0.7):
    """scale * sin(step * n + index), n the flat row-major index."""
    count = math.prod(shape)
    return (scale * torch.sin(step * torch.arange(count, dtype=DOUBLE) + index)).view(shape)


def fill_like_the_reference(supernet, first=0):
    """Fill W0 (E + H, 2 H) and W_i, numbered from `first`, with waves."""
    weights = supernet.directions[0].weights
    width = supernet.input_size
    with torch.no_grad():
        start = wave((width + supernet.hidden_size, weights["w0_x"].size(1)), first)
        weights["w0_x"].copy_(start[:width])
        weights["w0_h"].copy_(start[width:])
        for node in range(1, supernet.layout.nodes + 1):
            weights[f"w{node}"].copy_(wave(weights[f"w{node}"].shape, first + node))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def layer(input_size=4, hidden_size=4, **options):
    return LayerSpec(input_size, hidden_size, dtype=DOUBLE, **options)


def chosen_supernet(layout, sizes, shares, seed=0, **options):
    """A supernet whose mixture is what `shares` says."""
    relaxation = Chosen(layout, sizes)
    relaxation.choose(shares)
    return Supernet(layout, sizes, relaxation, generator(seed), **options)


def edge_shares(layout, nodes, scale=1.0):
    """Shares that put `scale` on the edges (op, predecessor) of each node."""
    shares = torch.zeros(layout.mixture_shapes()[CELL], dtype=DOUBLE)
    for node, edges in enumerate(nodes, start=1):
        for op, predecessor in edges:
            shares[layout.rows(node)[predecessor], layout.operations.index(op)] = scale
    return shares


def lay_into(rnn, supernet):
    """Copy a supernet's weights into the cell of steps that its shares stand for, direction by direction."""
    layout, shares = supernet.layout, supernet.relaxation()[CELL]
    own = [op for op in layout.operations if op != NONE]
    for target, source in zip(rnn.directions, supernet.directions, strict=True):
        for key, weight in target.weights.items():
            if key.startswith("gate_"):
                gate = key.replace("gate_h", "past_inputs").replace("gate_x", "past_states")
                with torch.no_grad():
                    weight.copy_(source.weights[gate].T if weight.dim() == 2 else source.weights[gate])
                continue
            kind, node, rest = re.fullmatch(r"([cu])(\d+)(.*)", key).groups()
            if node == "0":
                matrix = source.weights["w0_x" if "x" in rest else "w0_h"]
            else:
                matrix = source.weights[f"w{node}"]
                rows = shares[layout.rows(int(node)).start : layout.rows(int(node)).stop]
                row, column = rows.nonzero()[0].tolist()
                matrix = matrix[row] if layout.sharing != "target" else matrix
                matrix = matrix[own.index(layout.operations[column])] if matrix.dim() == 3 else matrix
            halves = matrix.chunk(2, dim=1) if layout.highway else (None, matrix)
            with torch.no_grad():
                weight.copy_(halves[kind == "u"].T)

"""Discrete cells as the shares of a supernet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from search.supernets.layout import CELL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from cellzoo.notations.steps.graph import Edge
    from search.supernets.layout import Layout


def cell_shares(layout: Layout, nodes: Sequence[Sequence[Edge]], *, mean: bool = False) -> dict[str, Tensor]:
    """Convert the edges of a cell to shares.

    Args:
        layout: The supernet's; without gates.
        nodes: The edges (operation, predecessor) of each node.
        mean: Whether the edges of a node are averaged instead of added.

    Returns:
        As in `Layout.mixture_shapes`, in double precision.
    """
    shares = torch.zeros(layout.mixture_shapes()[CELL], dtype=torch.float64)
    for node, edges in enumerate(nodes, start=1):
        for op, predecessor in edges:
            share = 1.0 / len(edges) if mean else 1.0
            shares[layout.rows(node)[predecessor], layout.operations.index(op)] = share
    return {CELL: shares}

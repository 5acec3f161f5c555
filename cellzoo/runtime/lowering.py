"""Lowering of block-diagonal weights and averages to the dense matrices of plans.

Plans have products with dense matrices only. A block-diagonal matrix becomes a dense one with zeros beside its
blocks. An average over units becomes a product with a row of equal shares, followed by one with a column of
ones that broadcasts the result. Both are differentiable and made at every call, which costs little next to the
products.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellzoo.cells.ops import AVERAGE, LINEAR

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from cellzoo.cells.cell import Cell


def share_name(width: str) -> str:
    """Name of the weight (1, units) that averages values of a width; names of cells' weights have no dot."""
    return f"average.{width}"


def spread_name(width: str) -> str:
    """Name of the weight (units, 1) that broadcasts the average to the units of a width."""
    return f"spread.{width}"


class Lowering:
    """Converts the weights of a cell to those of its plans.

    Args:
        cell: The cell.
    """

    def __init__(self, cell: Cell) -> None:
        self._heads = {
            weight: node.heads
            for node in cell.live_nodes
            if node.op == LINEAR and node.heads > 1
            for weight in node.weights
        }
        averaged = [node.inputs[0] for node in cell.live_nodes if node.op == AVERAGE]
        self._averaged = {cell.widths[source]: source for source in averaged}
        self._cell = cell

    @property
    def is_idle(self) -> bool:
        """Whether the weights of the cell and of its plans are the same."""
        return not self._heads and not self._averaged

    def __call__(
        self, weights: Mapping[str, Tensor], *, like: Tensor, hidden_size: int
    ) -> Mapping[str, Tensor]:
        """Return the weights of the plans.

        Args:
            weights: The weights of the cell, by name.
            like: x, (N, E).
            hidden_size: H.
        """
        if self.is_idle:
            return weights
        found = {
            name: _full(weight, self._heads[name]) if name in self._heads else weight
            for name, weight in weights.items()
        }
        if self._averaged:
            kind = next(iter(weights.values()), like)  # under autocast x may have lower precision
            sizes = self._cell.sizes(input_size=like.size(1), hidden_size=hidden_size)
            for width, source in self._averaged.items():
                units = sizes[source]
                found[share_name(width)] = kind.new_full((1, units), 1 / units)
                found[spread_name(width)] = kind.new_ones(units, 1)
        return found


def _full(blocks: Tensor, heads: int) -> Tensor:
    """Expand the blocks of a block-diagonal matrix, (rows, columns / heads), to the dense (rows, columns)."""
    import torch

    parts = blocks.unflatten(0, (heads, -1))  # (heads, rows / heads, columns / heads)
    return torch.block_diag(*parts)

"""What a cell says in few numbers, as the full matrices that plans multiply by.

A plan knows products with full matrices only. A block-diagonal matrix is one with zeros beside its blocks. An
average is a product with a row of equal shares, and one with a column of ones that hands the result to every
unit. Both are differentiable, and made anew at every call: next to the product itself that is little.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellzoo.cells.ops import AVERAGE, LINEAR

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from cellzoo.cells.cell import Cell


def share_name(width: str) -> str:
    """The weight (1, units) that averages values of a width; no node's weight has a dot in its name."""
    return f"average.{width}"


def spread_name(width: str) -> str:
    """The weight (units, 1) that gives each unit of a width the average."""
    return f"spread.{width}"


class Lowering:
    """The weights of a cell's plans, from the cell's own.

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
        """Whether the cell's weights are those of the plans."""
        return not self._heads and not self._averaged

    def __call__(
        self, weights: Mapping[str, Tensor], *, like: Tensor, hidden_size: int
    ) -> Mapping[str, Tensor]:
        """Give the weights of the plans.

        Args:
            weights: The cell's, by name.
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
            kind = next(iter(weights.values()), like)  # under autocast x may be less exact
            sizes = self._cell.sizes(input_size=like.size(1), hidden_size=hidden_size)
            for width, source in self._averaged.items():
                units = sizes[source]
                found[share_name(width)] = kind.new_full((1, units), 1 / units)
                found[spread_name(width)] = kind.new_ones(units, 1)
        return found


def _full(blocks: Tensor, heads: int) -> Tensor:
    """Put the blocks of (rows, columns / heads) on a diagonal: (rows, columns)."""
    import torch

    parts = blocks.unflatten(0, (heads, -1))  # (heads, rows / heads, columns / heads)
    return torch.block_diag(*parts)

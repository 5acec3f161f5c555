"""How much there is to compute: FLOPs of a pass, and the matrix products that no engine can do without."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellzoo.cells.ops import LINEAR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellzoo.bench.shapes import Shape
    from cellzoo.cells.cell import Cell

# A product A @ W^T needs two of the same size backwards: for the gradient of A and for that of W. The
# elementwise operations are counted alike, which is customary and matters little.
TRAINING_FACTOR = 3


def pass_flops(cell: Cell, shape: Shape, *, training: bool) -> int:
    """Count the floating-point operations of one pass over a batch; backward counts twice forward."""
    token = cell.flops(input_size=shape.input_size, hidden_size=shape.hidden_size)
    return token * shape.tokens * (TRAINING_FACTOR if training else 1)


@dataclass(frozen=True)
class ProductGroup:
    """All matrices that multiply one value, stacked: rows (M, inner) @ (outer, inner)^T, `times` times.

    Attributes:
        source: The value.
        rows: M of one product: B, or B T where the value depends on x alone.
        times: Products in a pass: T, or 1.
        inner: K, the width of the value.
        outer: The rows of all its matrices together.
    """

    source: str
    rows: int
    times: int
    inner: int
    outer: int

    @property
    def flops(self) -> int:
        """Of a forward pass; the gradient of the value takes as many, that of the matrices, too."""
        return 2 * self.rows * self.times * self.inner * self.outer


def product_groups(cell: Cell, shape: Shape) -> list[ProductGroup]:
    """List a cell's matrix products with as few and as large products as the graph allows.

    The matrices that multiply one value are one product, and a value that depends on x alone is multiplied
    at all steps at once. One matrix that multiplies one value in several nodes counts once.

    Raises:
        CellError: The cell needs E = H, and they differ.
    """
    sizes = cell.sizes(input_size=shape.input_size, hidden_size=shape.hidden_size)
    recurrent = _recurrent_values(cell)
    matrices: dict[tuple[str, int], dict[str, int]] = {}
    for node in cell.live_nodes:
        if node.op == LINEAR:
            for weight, source in zip(node.weights, node.inputs, strict=True):
                matrices.setdefault((source, node.heads), {})[weight] = sizes[node.name]
    return [
        ProductGroup(
            source,
            rows=shape.batch if source in recurrent else shape.tokens,
            times=shape.steps if source in recurrent else 1,
            inner=sizes[source] // heads,
            outer=sum(heights.values()),
        )
        for (source, heads), heights in matrices.items()
    ]


def products_flops(groups: Sequence[ProductGroup], *, training: bool) -> int:
    """Count the floating-point operations of the products of one pass."""
    return sum(group.flops for group in groups) * (TRAINING_FACTOR if training else 1)


def _recurrent_values(cell: Cell) -> set[str]:
    """The values that depend on a state, so that they are known at their own step only."""
    found = {state.name for state in cell.states}
    for node in cell.live_nodes:
        if not found.isdisjoint(node.inputs):
            found.add(node.name)
    return found

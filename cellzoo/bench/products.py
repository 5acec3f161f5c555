"""The bare matrix products of a pass: a lower bound for the time of any engine.

There are no elementwise operations and no stored activations, and products are merged as far as the graph
allows. Forward: at every step, the product of each value with its matrices. Backward: at every step, the
product of the gradients of the results with the same matrices; then the gradient of each matrix, as one product
over all steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from cellzoo.cells.ops import LINEAR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellzoo.bench.case import Pass, Shape
    from cellzoo.cells.cell import Cell


class Group(NamedTuple):
    """All matrices that multiply one value, stacked: rows (M, inner) @ (outer, inner)^T at each step.

    Attributes:
        source: The value.
        rows: M of each step, the number of sequences; one step with all tokens if the value depends on x alone.
        inner: K, the width of the value, or of one of its heads.
        outer: Number of rows of all its matrices together.
    """

    source: str
    rows: tuple[int, ...]
    inner: int
    outer: int


def product_groups(cell: Cell, shape: Shape) -> list[Group]:
    """List a cell's matrix products in each direction, as few and as large as the graph allows.

    The matrices that multiply one value are one product, and a value that depends on x alone is multiplied
    at all steps at once. One matrix that multiplies one value in several nodes counts once.

    Raises:
        CellError: The cell needs E = H, and they differ.
    """
    sizes = cell.sizes(input_size=shape.input_size, hidden_size=shape.hidden_size)
    recurrent = {state.name for state in cell.states}
    matrices: dict[tuple[str, int], dict[str, int]] = {}
    for node in cell.live_nodes:
        if not recurrent.isdisjoint(node.inputs):
            recurrent.add(node.name)
        if node.op == LINEAR:
            for weight, source in zip(node.weights, node.inputs, strict=True):
                matrices.setdefault((source, node.heads), {})[weight] = sizes[node.name]
    stepwise, at_once = tuple(shape.batch_sizes), (shape.tokens,)
    groups = [
        Group(
            source, stepwise if source in recurrent else at_once, sizes[source] // heads, sum(heights.values())
        )
        for (source, heads), heights in matrices.items()
    ]
    return groups * shape.directions


def products_flops(groups: Sequence[Group], *, training: bool) -> int:
    """Count the floating-point operations; the backward pass has twice as many as the forward pass."""
    forward = sum(2 * sum(group.rows) * group.inner * group.outer for group in groups)
    return forward * (3 if training else 1)


def product_pass(
    groups: Sequence[Group], *, training: bool, dtype: torch.dtype, device: torch.device | str = "cpu"
) -> Pass:
    """The products of one pass, in training with those of the backward pass. It returns no tensors."""
    generator = torch.Generator().manual_seed(0)

    def draw(*size: int) -> Tensor:
        return torch.randn(*size, dtype=dtype, generator=generator).to(device)

    # For each product: the factor of each step, the matrix, and the output tensors.
    phases: list[list[tuple[Sequence[Tensor], Tensor, Sequence[Tensor]]]] = [[], [], []]
    for _, rows, inner, outer in groups:
        # `delta` holds the results, and in the backward pass their gradients.
        values, weight, delta = draw(sum(rows), inner), draw(outer, inner), draw(sum(rows), outer)
        deltas = delta.split(rows)
        phases[0].append((values.split(rows), weight.T, deltas))
        if training:
            gradient = draw(max(rows), inner)
            phases[1].insert(0, (deltas, weight, [gradient[:count] for count in rows]))
            phases[2].append(([delta.T], values, [draw(outer, inner)]))

    def run() -> list[Tensor]:
        for products in phases:
            for step in range(max((len(factors) for factors, _, _ in products), default=0)):
                for factors, matrix, results in products:
                    if step < len(factors):
                        torch.mm(factors[step], matrix, out=results[step])
        return []

    return run

"""Helpers of the checks: sizes that fit a cell, layers with fixed weights, inputs, comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from cellzoo.cells.graph import HIDDEN_WIDTH
from cellzoo.errors import CellError
from cellzoo.layer import CellRNN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellzoo.cells.cell import Cell
    from cellzoo.testing import Layer

# Unequal, and not multiples of the SIMD width, so that swapped or padded sizes are detected.
INPUT_SIZE, HIDDEN_SIZE = 3, 5
LENGTHS = (2, 5, 1, 5, 3)
TOLERANCE = 1e-12


class LayerSizes(NamedTuple):
    """Sizes and layers that a cell can be built with."""

    input_size: int
    hidden_size: int
    num_layers: int = 1
    bidirectional: bool = False

    @property
    def runs(self) -> int:
        """Layers times directions: rows of a state."""
        return self.num_layers * (2 if self.bidirectional else 1)


def layout(
    cell: Cell, num_layers: int = 1, *, bidirectional: bool = False, hidden_size: int = HIDDEN_SIZE
) -> LayerSizes | None:
    """Find sizes that the cell can be built with; None if there are none.

    A cell that reads x as a hidden value needs E = H, and one that carries its input from step to step needs
    layers of equal input sizes. Heads multiply the sizes.
    """
    hidden_size *= cell.heads
    sizes = (INPUT_SIZE * cell.heads, hidden_size, 2 * hidden_size)
    for input_size in sizes if hidden_size != sizes[0] else sizes[1:]:
        found = LayerSizes(input_size, hidden_size, num_layers, bidirectional)
        try:
            CellRNN(cell, *found[:3], bidirectional=bidirectional, device="meta")
        except (CellError, ValueError):
            continue
        return found
    return None


def needed_layout(cell: Cell, hidden_size: int = HIDDEN_SIZE) -> LayerSizes:
    """Sizes for one layer in one direction; AssertionError if there are none."""
    found = layout(cell, hidden_size=hidden_size)
    if found is None:
        raise AssertionError(f"{label(cell)}: no layer can be built from it at any input size")
    return found


def largest_layout(cell: Cell) -> LayerSizes:
    """Two layers in both directions where that can be built, else the most that can."""
    for num_layers, bidirectional in ((2, True), (1, True), (2, False)):
        found = layout(cell, num_layers, bidirectional=bidirectional)
        if found is not None:
            return found
    return needed_layout(cell)


def label(cell: Cell) -> str:
    """The name of the cell in messages."""
    return f"cell {cell.name!r}" if cell.name else "the cell"


def build(cell: Cell, layer: Layer, where: LayerSizes, seed: int = 7, **options: Any) -> CellRNN:
    """Build a layer with weights that depend on the seed alone, in float64 unless `dtype` is given."""
    settings = {"dtype": torch.float64, **options}
    rnn = layer(
        cell,
        where.input_size,
        where.hidden_size,
        num_layers=where.num_layers,
        bidirectional=where.bidirectional,
        **settings,
    )
    rnn.reset_parameters(torch.Generator().manual_seed(seed))
    return rnn


def random(*shape: int, seed: int) -> Tensor:
    """Draw from the normal distribution, float64."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def random_states(cell: Cell, where: LayerSizes, *batch: int, seed: int = 3) -> tuple[Tensor, ...]:
    """Draw initial states, each (runs, *batch, width)."""
    return tuple(
        random(
            where.runs,
            *batch,
            where.hidden_size if state.width == HIDDEN_WIDTH else where.input_size,
            seed=seed + index,
        )
        for index, state in enumerate(cell.states)
    )


def give(states: Sequence[Tensor]) -> Tensor | tuple[Tensor, ...]:
    """Convert states to the form that a layer takes: one tensor, or a tuple of several."""
    return states[0] if len(states) == 1 else tuple(states)


def listed(states: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The states that a layer returned, always as a tuple."""
    return (states,) if isinstance(states, Tensor) else tuple(states)


def assert_close(found: Tensor, expected: Tensor, what: str, tolerance: float = TOLERANCE) -> None:
    """Raise AssertionError that says `what` unless shape, dtype and values agree; NaN equals NaN."""
    torch.testing.assert_close(
        found, expected, rtol=tolerance, atol=tolerance, equal_nan=True, msg=lambda text: f"{what}: {text}"
    )


def assert_all_close(
    found: Sequence[Tensor], expected: Sequence[Tensor], what: str, tolerance: float = TOLERANCE
) -> None:
    """`assert_close` on each pair."""
    if len(found) != len(expected):
        raise AssertionError(f"{what}: {len(found)} tensors, expected {len(expected)}")
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other, what, tolerance)

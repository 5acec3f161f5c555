"""What a race is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellzoo.bench.work import pass_flops

if TYPE_CHECKING:
    from cellzoo.bench.shapes import Shape
    from cellzoo.cell import Cell

DTYPES = ("float32", "float64")


@dataclass(frozen=True)
class Case:
    """One cell at one shape, trained or only run.

    Attributes:
        cell: The cell.
        shape: The sizes.
        training: Whether a pass has its backward pass: a training step without the optimizer.
        dtype: One of `DTYPES`.

    Raises:
        CellError: The cell needs E = H, and the shape's differ.
    """

    cell: Cell
    shape: Shape
    training: bool
    dtype: str = "float32"

    def __post_init__(self) -> None:
        self.cell.sizes(input_size=self.shape.input_size, hidden_size=self.shape.hidden_size)

    @property
    def flops(self) -> int:
        """Floating-point operations of a pass."""
        return pass_flops(self.cell, self.shape, training=self.training)

    def __str__(self) -> str:
        kind = "training step" if self.training else "inference"
        return f"{self.cell.name or 'cell'}, shape {self.shape}, {kind}, {self.dtype}"

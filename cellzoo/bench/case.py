"""What a race is about."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from cellzoo.bench.shapes import Shape
from cellzoo.bench.work import pass_flops
from cellzoo.cells.cell import Cell

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cellzoo.bench.contestant import Contestant

DTYPES = ("float32", "float64")


class Case(Protocol):
    """One computation that is done in several ways.

    `CellCase` is one; whatever else is to be timed, such as a step of a search's supernet, is another class
    with these methods, and gets statistics, tables, peak memory and files as it is. `str` says it in a line.
    """

    @property
    def flops(self) -> int:
        """Floating-point operations of a pass."""
        ...

    def entrants(self, engines: Sequence[str]) -> list[str]:
        """Name what races, the loop first, which the engines' results are held against."""
        ...

    def build(self, name: str, clock: Callable[[], float]) -> Contestant:
        """Build a contestant; `clock` is what it may choose its methods by."""
        ...

    def describe(self) -> dict[str, Any]:
        """Say what it is, as JSON."""
        ...

    def recipe(self) -> tuple[str, dict[str, Any]]:
        """The path `module:function` of what builds an equal case from these arguments, which are JSON."""
        ...

    def tiny(self) -> Case:
        """The same at tiny sizes, whose run loads everything that a run loads."""
        ...


@dataclass(frozen=True)
class CellCase:
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

    def entrants(self, engines: Sequence[str]) -> list[str]:
        """Name what races; see `cellzoo.bench.entrants`."""
        from cellzoo.bench.entrants import entrant_names

        return entrant_names(self, engines)

    def build(self, name: str, clock: Callable[[], float]) -> Contestant:
        """Build a contestant; see `cellzoo.bench.entrants`."""
        from cellzoo.bench.entrants import build_entrant

        return build_entrant(self, name, clock)

    def describe(self) -> dict[str, Any]:
        """Say what it is."""
        return {
            "cell": self.cell.name,
            "cell_hash": self.cell.hash,
            "shape": asdict(self.shape),
            "pass": "training" if self.training else "inference",
            "dtype": self.dtype,
        }

    def recipe(self) -> tuple[str, dict[str, Any]]:
        """What builds it again."""
        arguments = {
            "cell": self.cell.to_json(),
            "shape": asdict(self.shape),
            "training": self.training,
            "dtype": self.dtype,
        }
        return "cellzoo.bench.case:rebuild_cell_case", arguments

    def tiny(self) -> CellCase:
        """The same at sizes that every cell can be built with, because they are equal."""
        return CellCase(self.cell, Shape("tiny", 2, 2, 8, 8), self.training, self.dtype)


def rebuild_cell_case(cell: str, shape: dict[str, Any], *, training: bool, dtype: str) -> CellCase:
    """Build the case that `CellCase.recipe` describes."""
    return CellCase(Cell.from_json(cell), Shape(**shape), training, dtype)

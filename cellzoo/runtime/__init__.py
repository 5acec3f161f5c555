"""Engines that execute a Cell over a sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from cellzoo.errors import unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from cellzoo.cells.cell import Cell


class Runtime(Protocol):
    """An engine that was prepared for one cell.

    It runs one layer in one direction over rows that are packed as in `PackedSequence`: step t has
    `batch_sizes[t]` rows, which continue the first rows of step t - 1.
    """

    def __call__(
        self,
        inputs: Tensor,
        batch_sizes: Sequence[int],
        states: Sequence[Tensor],
        weights: Mapping[str, Tensor],
        *,
        reverse: bool = False,
        mask_x: Tensor | None = None,
        mask_h: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run the cell.

        Args:
            inputs: (N, E), N = sum(batch_sizes).
            batch_sizes: Rows at each step, never growing.
            states: Initial states, each (B, H), delayed inputs (B, E), with B = batch_sizes[0].
            weights: Name -> tensor, as in `Cell.parameter_shapes`. A bias that is absent counts as none.
            reverse: Walk from the last step to the first.
            mask_x: (B, E) factor on x, and on any other value of its width, where a matrix multiplies it.
            mask_h: (B, H) factor on every value of the hidden width where a matrix multiplies it. Values
                with a number of units of their own are not masked.

        Returns:
            Outputs (N, H) in the order of `inputs`, and the states of each row after its last step.
        """
        ...


def _reference(cell: Cell) -> Runtime:
    from cellzoo.runtime.reference import ReferenceRuntime

    return ReferenceRuntime(cell)


def _torch(cell: Cell) -> Runtime:
    from cellzoo.runtime.torch_engine import TorchRuntime

    return TorchRuntime(cell)


def _native(cell: Cell) -> Runtime:
    from cellzoo.runtime.native.engine import NativeRuntime

    return NativeRuntime(cell)


def _auto(cell: Cell) -> Runtime:
    from cellzoo.runtime.auto import AutoRuntime

    return AutoRuntime(cell, prepare)


_ENGINES: dict[str, Callable[[Cell], Runtime]] = {
    "auto": _auto,
    "reference": _reference,
    "torch": _torch,
    "native": _native,
}

RUNTIMES = tuple(_ENGINES)


def prepare(name: str, cell: Cell) -> Runtime:
    """Prepare the engine `name` for a cell; `auto` picks the fastest that applies at every call.

    Raises:
        UnknownNameError: No such engine.
        CellzooError: The engine is not available here.
    """
    if name not in _ENGINES:
        raise unknown("runtime", name, RUNTIMES)
    return _ENGINES[name](cell)


def release_memory() -> None:
    """Give the memory that the native engine keeps for its next calls back to the system."""
    from cellzoo.runtime.native.binding import is_available

    if is_available():
        from cellzoo.runtime.native.call import pool

        pool().release()

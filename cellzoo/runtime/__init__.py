"""Engines that execute a Cell over a sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellzoo.errors import unknown
from cellzoo.runtime.interface import Runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    from cellzoo.cells.cell import Cell


__all__ = ["RUNTIMES", "Runtime", "prepare", "release_memory"]


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

"""Engines that execute a Cell over a sequence."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from cellzoo.errors import unknown
from cellzoo.runtime.interface import Runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cellzoo.cells.cell import Cell


__all__ = ["RUNTIMES", "Runtime", "engine_in_use", "prepare", "release_memory", "using"]


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


_in_use: ContextVar[str | None] = ContextVar("engine", default=None)


@contextmanager
def using(name: str) -> Iterator[None]:
    """Let one engine run every `CellRNN` for a while, whatever each was built with.

    With `reference`, gradients of gradients and batches of gradients are there, in the pass that is made
    inside; the gradients themselves may be taken outside:

        with cellzoo.runtime.using("reference"):
            output, _ = rnn(x)

    It holds for the thread, or the asynchronous task, that says so. Inside of another one it counts alone.

    Args:
        name: One of `RUNTIMES`.

    Raises:
        UnknownNameError: No such engine.
    """
    if name not in _ENGINES:
        raise unknown("runtime", name, RUNTIMES)
    before = _in_use.set(name)
    try:
        yield
    finally:
        _in_use.reset(before)


def engine_in_use() -> str | None:
    """The engine that `using` has said for now, or None."""
    return _in_use.get()


def release_memory() -> None:
    """Give the memory that the native engine keeps for its next calls back to the system."""
    from cellzoo.runtime.native.binding import is_available

    if is_available():
        from cellzoo.runtime.native.call import pool

        pool().release()

"""Engines: they run a cell, or whatever else has plans, over a sequence.

An engine is a package with an `ENGINE` in it, and a line in the table below.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from typing import TYPE_CHECKING

from cellzoo.errors import unknown
from cellzoo.runtime.interface import Engine, PlanRuntime, Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cellzoo.cells.cell import Cell


__all__ = [
    "PRECISIONS",
    "RUNTIMES",
    "Engine",
    "PlanRuntime",
    "Runtime",
    "engine_in_use",
    "load_engine",
    "prepare",
    "prepare_plans",
    "release_memory",
    "using",
]

_ENGINES = {
    "auto": "cellzoo.runtime.auto",
    "reference": "cellzoo.runtime.reference",
    "torch": "cellzoo.runtime.torch_engine",
    "native": "cellzoo.runtime.native.engine",
    "scan": "cellzoo.runtime.scan",
}

RUNTIMES = tuple(_ENGINES)
PRECISIONS = ("full", "bf16")


def load_engine(name: str) -> Engine:
    """Load an engine; `auto` is the fastest that applies at every call.

    Raises:
        UnknownNameError: No such engine.
    """
    _check_name(name)
    engine: Engine = import_module(_ENGINES[name]).ENGINE
    return engine


def prepare(name: str, cell: Cell, precision: str = "full") -> Runtime:
    """Prepare the engine `name` for a cell.

    Args:
        name: One of `RUNTIMES`.
        cell: The cell.
        precision: One of `PRECISIONS`. With `bf16` matrix products of float32 are sums in float32 of numbers
            rounded to bfloat16, where the engine and the processor have such; else they are as with `full`.

    Raises:
        UnknownNameError: No such engine, or no such precision.
        CellzooError: The engine is not available here.
    """
    engine = load_engine(name)
    if _rounds(precision) and engine.prepare_rounding is not None:
        return engine.prepare_rounding(cell)
    return engine.prepare_cell(cell)


def prepare_plans(name: str, precision: str = "full") -> PlanRuntime | None:
    """Prepare the engine `name` for plans, or give None where it interprets definitions.

    Arguments and errors as in `prepare`.
    """
    engine = load_engine(name)
    if _rounds(precision) and engine.prepare_rounding_plans is not None:
        return engine.prepare_rounding_plans()
    return None if engine.prepare_plans is None else engine.prepare_plans()


def _rounds(precision: str) -> bool:
    if precision not in PRECISIONS:
        raise unknown("precision", str(precision)[:80], PRECISIONS)
    return precision == "bf16"


def _check_name(name: object) -> None:
    if name not in RUNTIMES:
        raise unknown("engine", str(name)[:80], RUNTIMES)


_in_use: ContextVar[str | None] = ContextVar("engine", default=None)


@contextmanager
def using(name: str) -> Iterator[None]:
    """Let one engine run every `CellRNN`, and every supernet, for a while, whatever each was built with.

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
    _check_name(name)
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

"""Engines run a cell, or anything else that has plans (such as a supernet), over a sequence.

An engine is a module with a constant `ENGINE`, and an entry in the table below.
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
    """Load an engine; `auto` picks the fastest applicable one at every call.

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
        precision: One of `PRECISIONS`. With `bf16`, matrix products of float32 tensors have factors rounded to
            bfloat16 and float32 sums, if the engine and the processor support that; otherwise as with `full`.

    Raises:
        UnknownNameError: No such engine, or no such precision.
        CellzooError: The engine is not available here.
    """
    engine = load_engine(name)
    if _rounds(precision) and engine.prepare_rounding is not None:
        return engine.prepare_rounding(cell)
    return engine.prepare_cell(cell)


def prepare_plans(name: str, precision: str = "full") -> PlanRuntime | None:
    """Prepare the engine `name` for plans; None for engines that do not run plans.

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
    if not isinstance(name, str) or name not in _ENGINES:
        raise unknown("engine", str(name)[:80], RUNTIMES)


_in_use: ContextVar[str | None] = ContextVar("engine", default=None)


@contextmanager
def using(name: str) -> Iterator[None]:
    """Override the engine of every `CellRNN` and every supernet inside a `with` block.

    The engine `reference` supports gradients of gradients and batched gradients. Only the forward pass must run
    inside the block; the gradients may be computed outside:

        with cellzoo.runtime.using("reference"):
            output, _ = rnn(x)

    It applies to the current thread or asynchronous task. The innermost block wins.

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
    """The engine set by the innermost `using`, or None."""
    return _in_use.get()


def release_memory() -> None:
    """Return the memory that the native engine caches for its next calls to the system."""
    from cellzoo.runtime.native.binding import is_available

    if is_available():
        from cellzoo.runtime.native.call import pool

        pool().release()

"""Chooses the engine of a supernet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellzoo.runtime import load_engine
from cellzoo.runtime.auto import choose_for
from search.supernets.planned import PlannedSupernet
from search.supernets.reference import ReferenceSupernet

if TYPE_CHECKING:
    from torch import Tensor

    from search.supernets.layout import Layout
    from search.supernets.runtime import SupernetCall, SupernetRuntime


def prepare(name: str, layout: Layout, precision: str = "full") -> SupernetRuntime:
    """Prepare one of the engines of `cellzoo.runtime.RUNTIMES`; `auto` is the fastest that applies to a call.

    Args:
        name: The engine.
        layout: The supernet.
        precision: As in `cellzoo.runtime.prepare`.

    Raises:
        UnknownNameError: No such engine, or no such precision.
        CellzooError: The engine is not available here.
    """
    if name == "auto":
        return AutoSupernet(layout, precision)
    if load_engine(name).prepare_plans is None:
        return ReferenceSupernet(layout)
    return PlannedSupernet(layout, name, precision)


class AutoSupernet:
    """Uses an engine for plans, or the reference for calls that plans do not support.

    A `search.supernets.runtime.SupernetRuntime`.
    """

    def __init__(self, layout: Layout, precision: str) -> None:
        self._planned: SupernetRuntime = PlannedSupernet(layout, "auto", precision)
        self._reference: SupernetRuntime = ReferenceSupernet(layout)
        self._last: SupernetRuntime | None = None

    @property
    def ran(self) -> tuple[str, ...]:
        """The engines that ran the last call, in the order of its steps."""
        return () if self._last is None else self._last.ran

    def __call__(self, call: SupernetCall) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run the supernet, see `SupernetRuntime`."""
        others = (*call.states, *call.weights.values(), *call.mixtures.values())
        is_planned = choose_for(call.inputs, others) != "reference"
        self._last = self._planned if is_planned else self._reference
        return self._last(call)

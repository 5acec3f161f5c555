"""Which engine computes a supernet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellzoo.runtime import load_engine

if TYPE_CHECKING:
    from search.supernets.layout import Layout
    from search.supernets.runtime import SupernetRuntime


def prepare(name: str, layout: Layout) -> SupernetRuntime:
    """Prepare one of the engines of `cellzoo.runtime.RUNTIMES`; `auto` is the fastest that applies to a call.

    Raises:
        UnknownNameError: No such engine.
        CellzooError: The engine is not available here.
    """
    if name == "auto":
        from search.supernets.auto import AutoSupernet

        return AutoSupernet(layout)
    if load_engine(name).prepare_plans is None:
        from search.supernets.reference import ReferenceSupernet

        return ReferenceSupernet(layout)
    from search.supernets.planned import PlannedSupernet

    return PlannedSupernet(layout, name)

"""The runner: suite x cells x seeds -> run records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tasks.runs.run import RunReport, run_suite

__all__ = ["RunReport", "run_suite"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from tasks.runs import run

        return getattr(run, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

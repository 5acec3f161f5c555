"""Benchmarks that other packages bring: what is timed besides cells.

A benchmark is an entry point of the group `cellzoo.benchmarks`: a function that takes a shape and a dtype's
name and gives the cases to time at them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellzoo.errors import unknown
from cellzoo.system.plugins import plugins

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellzoo.bench.case import Case
    from cellzoo.bench.shapes import Shape

GROUP = "cellzoo.benchmarks"


def benchmark_cases(name: str, shapes: Sequence[Shape], dtype: str) -> list[Case]:
    """The cases of a benchmark at some shapes.

    Raises:
        UnknownNameError: No package brings that benchmark, or the package does not load.
    """
    found = {key: build for key, build, _ in plugins(GROUP)}
    if name not in found:
        raise unknown("benchmark", name[:80], found)
    return [case for shape in shapes for case in found[name](shape, dtype)]

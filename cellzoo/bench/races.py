"""Races that other packages bring: what is timed besides cells.

A race is an entry point of the group `cellzoo.races`: a function that takes a shape and a dtype's name and
gives the cases to time at them.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from cellzoo.errors import CellzooError, unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellzoo.bench.case import Case
    from cellzoo.bench.shapes import Shape

GROUP = "cellzoo.races"


def race_cases(name: str, shapes: Sequence[Shape], dtype: str) -> list[Case]:
    """The cases of a race at some shapes.

    Raises:
        UnknownNameError: No package brings that race.
        CellzooError: It does not load.
    """
    found = {point.name: point for point in entry_points(group=GROUP)}
    if name not in found:
        raise unknown("race", name[:80], sorted(found))
    try:
        cases = found[name].load()
    except (ImportError, AttributeError) as error:
        raise CellzooError(f"race {name!r}: {found[name].value} does not load: {error}") from error
    return [case for shape in shapes for case in cases(shape, dtype)]

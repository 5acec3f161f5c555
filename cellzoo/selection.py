"""Lists of cells, as given on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellzoo.catalog import list_cells
from cellzoo.errors import CellzooError, unknown
from cellzoo.families import FAMILIES
from cellzoo.system.paths import typed_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_GLOB = "*?["


def split_cells(text: str) -> list[str]:
    """Split the value of `--cells` at its commas.

    Raises:
        CellzooError: An empty name.
    """
    names = [part.strip() for part in text.split(",")]
    if not all(names):
        raise CellzooError(f"--cells {text!r}: an empty name; separate names by single commas")
    return names


def expand_cells(cells: Iterable[str | Path]) -> Iterator[str | Path]:
    """Expand shell patterns to the names they match, and convert texts that are paths to `Path`.

    Raises:
        UnknownNameError: A pattern matches nothing.
    """
    for wanted in cells:
        if isinstance(wanted, str) and any(sign in wanted for sign in _GLOB):
            names = list_cells(wanted)
            if not names:
                families = ", ".join(family.pattern for family in FAMILIES)
                hint = f"A pattern does not match random cells ({families}); give each by its name."
                raise unknown("cell pattern", wanted[:80], list_cells(), hint)
            yield from names
        elif isinstance(wanted, str) and (wanted.endswith(".toml") or "/" in wanted):
            yield typed_path(wanted, "cell")
        else:
            yield wanted

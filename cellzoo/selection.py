"""Several cells, as a command line names them."""

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
    """Split what `--cells` takes.

    Raises:
        CellzooError: An empty name.
    """
    names = [part.strip() for part in text.split(",")]
    if not all(names):
        raise CellzooError(f"--cells {text!r}: an empty name; separate names by single commas")
    return names


def expand_cells(cells: Iterable[str | Path]) -> Iterator[str | Path]:
    """Replace patterns by the names they match, and paths in text by paths.

    Raises:
        UnknownNameError: A pattern matches nothing.
    """
    for wanted in cells:
        if isinstance(wanted, str) and any(sign in wanted for sign in _GLOB):
            names = list_cells(wanted)
            if not names:
                families = ", ".join(family.pattern for family in FAMILIES)
                hint = f"Members of a family ({families}) are endless; name them one by one."
                raise unknown("cell pattern", wanted[:80], list_cells(), hint)
            yield from names
        elif isinstance(wanted, str) and (wanted.endswith(".toml") or "/" in wanted):
            yield typed_path(wanted, "cell")
        else:
            yield wanted

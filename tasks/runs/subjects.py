"""From what a user calls cells to the subjects of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellzoo.errors import CellzooError
from cellzoo.selection import expand_cells
from tasks.task import Subject

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def resolve_cells(cells: Iterable[str | Path]) -> tuple[list[Subject], list[str]]:
    """Look up cells by name, glob or path.

    The subjects hold the canonical form of each graph. A record's key has the graph's hash, so two files that
    write one graph down in different orders must draw the same weights and add in the same order.

    Returns:
        The subjects, each graph once, and a note for each graph that was named twice.

    Raises:
        UnknownNameError: Nothing of that name.
        CellzooError: Two different cells of one name, or a cell file that is invalid.
    """
    import cellzoo
    from cellzoo.cells.canonical import canonical_form

    subjects: dict[str, Subject] = {}
    by_name: dict[str, str] = {}
    notes: list[str] = []
    for wanted in expand_cells(cells):
        entry = cellzoo.entry(wanted)
        digest = entry.cell.hash
        if by_name.setdefault(entry.name, digest) != digest:
            raise CellzooError(
                f"two different cells are called {entry.name!r} ({subjects[by_name[entry.name]].origin} and "
                f"{entry.origin}); rename one of them"
            )
        first = subjects.setdefault(
            digest,
            Subject(
                entry.name,
                canonical_form(entry.cell),
                entry.origin,
                entry.notation,
                entry.genotype,
                entry.init,
            ),
        )
        if first.name != entry.name:
            notes.append(f"{entry.name} is the same graph as {first.name}: run once, as {first.name}")
    if not subjects:
        raise CellzooError("no cell was given; name some with --cells, such as --cells lstm,darts-v2")
    return list(subjects.values()), notes

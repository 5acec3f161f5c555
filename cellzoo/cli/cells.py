"""`cellzoo list cells`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cellzoo.catalog import entry, list_cells
from cellzoo.cli.listing import Item, Kind
from cellzoo.errors import CellzooError
from cellzoo.families import FAMILIES
from cellzoo.shelves import SHELVES, shelf_of
from cellzoo.system.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cellzoo.entry import CellEntry

HAND_DESIGNED = "hand-designed"
SIZE = 256


def readable(names: Iterable[str]) -> Iterator[CellEntry]:
    """Load cells of the catalog; one that cannot be loaded is named on standard error and left out."""
    for name in names:
        try:
            yield entry(name)
        except CellzooError as error:
            sys.stderr.write(printable(f"cellzoo: warning: {name} is left out: {error}\n"))


def _item(name: str) -> Item:
    found = entry(name)
    parameters = found.cell.num_parameters(input_size=SIZE, hidden_size=SIZE)
    states = len(found.cell.states)
    searched_on = found.searched_on or HAND_DESIGNED
    return Item(
        found.name,
        (f"{_short(parameters):>6}", f"{states:>6}", searched_on, found.paper),
        {
            "aliases": list(found.aliases),
            "family": shelf_of(found).name,
            "notation": found.notation,
            "states": states,
            "nodes": len(found.cell.live_nodes),
            "parameters": parameters,
            "hash": found.cell.hash,
            "searched_on": searched_on,
            "source": found.source,
            "init": dict(found.init),
            "init_source": found.init_source,
            "published": [dict(row) for row in found.published],
            "origin": found.origin,
        },
    )


def _short(count: int) -> str:
    """A count in about three digits: 512, 66K, 1.31M."""
    if count < 1000:
        return str(count)
    return f"{count / 1e3:.0f}K" if count < 999_500 else f"{count / 1e6:.2f}M"


def _overview() -> Iterator[str]:
    """A line for each family, followed by the names of its cells."""
    shelves: dict[str, list[str]] = {shelf.name: [] for shelf in SHELVES}
    for found in readable(list_cells()):
        shelves[shelf_of(found).name].append(found.name)
    yield f"{'family':<15}{'cells':>5}  what they are"
    for shelf in SHELVES:
        names = shelves[shelf.name]
        yield f"{shelf.name:<15}{len(names):>5}  {shelf.summary}"
        if names:
            yield f"{'':<22}{', '.join(names)}"
    for family in FAMILIES:
        yield f"{family.pattern:<22}{family.summary}"
    yield ""
    yield "cellzoo list cells --all, or a pattern such as 'darts*', or --where family=hand-designed"
    yield "cellzoo show NAME"


def _notes() -> Iterator[str]:
    yield f"Params: parameters at input and hidden size {SIZE}."
    yield "Families, with a member for each seed:"
    for family in FAMILIES:
        yield f"  {family.pattern}  {family.summary}"


KIND = Kind(
    name="cells",
    summary="recurrent cells of the zoo and of installed packages",
    headings=("params", "states", "searched on", "from"),
    names=list_cells,
    item=_item,
    notes=_notes,
    overview=_overview,
)

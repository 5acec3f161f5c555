"""The zoo on one page: a card with picture, provenance and numbers for each cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cellzoo.draw import equations, svg
from cellzoo.draw.counts import parameter_formula
from cellzoo.draw.style import style as picture_style
from cellzoo.pages.page import picture, render_page, source
from cellzoo.shelves import SHELVES, Shelf, shelf_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellzoo.entry import CellEntry

PAGE = "index.html"
SIZE = 256


@dataclass(frozen=True)
class GalleryCard:
    """What the page shows of a cell.

    Attributes:
        found: The cell with its provenance.
        numbers: Its sizes, as text.
        published: Its published results, as text.
        same: Names of the other cells on the page that are the same graph.
        equations: As plain text.
        picture: SVG without a style sheet, already escaped.
        words: The text that the filter searches, in lower case.
    """

    found: CellEntry
    numbers: tuple[str, ...]
    published: tuple[str, ...]
    same: tuple[str, ...]
    equations: str
    picture: Any
    words: str


def render_gallery(entries: Sequence[CellEntry]) -> str:
    """Write the page; the same cells give the same text."""
    graphs: dict[str, list[str]] = {}
    for found in entries:
        graphs.setdefault(found.cell.hash, []).append(found.name)
    sections: dict[Shelf, list[GalleryCard]] = {shelf: [] for shelf in SHELVES}
    for found in entries:
        same = tuple(name for name in graphs[found.cell.hash] if name != found.name)
        sections[shelf_of(found)].append(_card(found, same))
    return render_page(
        "cellzoo.gallery/page.html.j2",
        f"cellzoo: {len(entries)} recurrent cells",
        {
            "sections": {shelf: cards for shelf, cards in sections.items() if cards},
            "count": len(entries),
            "graphs": len(graphs),
        },
        styles=[source("cellzoo.gallery/page.css"), picture_style()],
        script=source("cellzoo.gallery/filter.js"),
    )


def _card(found: CellEntry, same: tuple[str, ...]) -> GalleryCard:
    cell = found.cell
    states = "1 state" if len(cell.states) == 1 else f"{len(cell.states)} states"
    parameters = cell.num_parameters(input_size=SIZE, hidden_size=SIZE)
    about = [found.name, *found.aliases, found.source, found.searched_on, found.notation, found.notes]
    about += [*dict.fromkeys(node.op for node in cell.live_nodes), states, cell.hash]
    shelf = shelf_of(found)
    about += [shelf.name, shelf.title]
    flops = cell.flops(input_size=SIZE, hidden_size=SIZE)
    numbers = (states, f"{len(cell.live_nodes)} nodes", f"{parameters:,} parameters", parameter_formula(cell))
    return GalleryCard(
        found,
        (*numbers, f"{flops:,} FLOPs a token"),
        found.results,
        same,
        equations(cell),
        picture(svg(cell, is_part=True)),
        " ".join(about).lower(),
    )

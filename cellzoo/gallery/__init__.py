"""The zoo on one page: a card with picture, provenance and numbers for each cell.

Everything is in the file: style, script and pictures. Its content security policy admits that style and that
script, by digest, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from cellzoo.draw import equations, svg
from cellzoo.draw.counts import parameter_formula
from cellzoo.draw.style import style as picture_style
from cellzoo.system.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cellzoo.catalog import CellEntry

PAGE = "index.html"
SIZE = 256
HAND_DESIGNED, SEARCHED = "Designed by hand", "Found by search"


@dataclass(frozen=True)
class Card:
    """What the page says of a cell.

    Attributes:
        found: The cell with where it comes from.
        numbers: Its sizes, in words.
        published: Its published results, in words.
        same: Names of the other cells on the page that are the same graph.
        equations: As text.
        picture: SVG without style; made by the project, so it is not escaped.
        words: What the filter looks at, in lower case.
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
    from markupsafe import Markup

    graphs: dict[str, list[str]] = {}
    for found in entries:
        graphs.setdefault(found.cell.hash, []).append(found.name)
    sections: dict[str, list[Card]] = {HAND_DESIGNED: [], SEARCHED: []}
    for found in entries:
        same = tuple(name for name in graphs[found.cell.hash] if name != found.name)
        sections[SEARCHED if found.searched_on else HAND_DESIGNED].append(_card(found, same))
    style, script = _source("page.css") + picture_style(), _source("filter.js")
    text = _template().render(
        sections={title: cards for title, cards in sections.items() if cards},
        count=len(entries),
        graphs=len(graphs),
        style=Markup(style),  # noqa: S704 - a file of this package
        script=Markup(script),  # noqa: S704 - a file of this package
        policy=f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'",
    )
    return printable(text)


def _card(found: CellEntry, same: tuple[str, ...]) -> Card:
    from markupsafe import Markup

    cell = found.cell
    states = "1 state" if len(cell.states) == 1 else f"{len(cell.states)} states"
    parameters = cell.num_parameters(input_size=SIZE, hidden_size=SIZE)
    about = [found.name, *found.aliases, found.source, found.searched_on, found.notation, found.notes]
    about += [*dict.fromkeys(node.op for node in cell.live_nodes), states, cell.hash]
    about += [HAND_DESIGNED] if not found.searched_on else [SEARCHED]
    return Card(
        found,
        (states, f"{len(cell.live_nodes)} nodes", f"{parameters:,} parameters", parameter_formula(cell)),
        tuple(_results(found.published)),
        same,
        equations(cell),
        Markup(svg(cell, is_part=True)),  # noqa: S704 - ElementTree escapes
        " ".join(about).lower(),
    )


def _results(published: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for row in published:
        numbers = ", ".join(f"{key} {value}" for key, value in row.items() if key not in ("data", "by"))
        data = f"{row['data']}: " if "data" in row else ""
        yield f"{data}{numbers} ({row.get('by', 'no source given')})"


@cache
def _template() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("cellzoo.gallery", ""),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    return environment.get_template("page.html.j2")


@cache
def _source(name: str) -> str:
    return files("cellzoo.gallery").joinpath(name).read_text(encoding="utf-8")


def _digest(source: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()

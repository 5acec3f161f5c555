"""One Markdown page for each cell, for documentation: equations, picture, source, initialisation, counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellzoo.catalog import isomorphic
from cellzoo.draw import equations, latex, svg
from cellzoo.draw.counts import parameter_formula
from cellzoo.gallery import SIZE
from cellzoo.shelves import SHELVES, shelf_of
from cellzoo.system.text import escape_markdown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cellzoo.entry import CellEntry

INDEX = "README.md"


def render_pages(entries: Sequence[CellEntry]) -> Iterator[tuple[str, str]]:
    """Write the pages.

    Yields:
        File name and text: of the index, then of each cell's page and picture.
    """
    yield INDEX, "\n".join(_index(entries)) + "\n"
    twins = {name: group for group in isomorphic() for name in group}
    for found in entries:
        same = [name for name in twins.get(found.name, ()) if name != found.name]
        yield f"{found.name}.md", "\n".join(_page(found, same)) + "\n"
        yield f"{found.name}.svg", svg(found.cell)


def _index(entries: Sequence[CellEntry]) -> Iterator[str]:
    yield f"# {_counted(len(entries), 'recurrent cell')}"
    for shelf in SHELVES:
        cells = [found for found in entries if shelf_of(found) is shelf]
        if cells:
            yield from ("", f"## {shelf.title}", "", f"{_counted(len(cells), 'cell')}, {shelf.summary}.", "")
            yield from ("| cell | states | parameters | from |", "| --- | --- | --- | --- |")
        for found in cells:
            link, states = f"[{found.name}]({found.name}.md)", len(found.cell.states)
            yield f"| {link} | {states} | {parameter_formula(found.cell)} | {escape_markdown(found.paper)} |"


def _page(found: CellEntry, same: Sequence[str]) -> Iterator[str]:
    """The lines of a cell's page; `same` names the other cells of the catalog that are the same graph."""
    cell = found.cell
    yield from (f"# {found.name}", "")
    if found.aliases:
        yield from (f"Also called {', '.join(found.aliases)}.", "")
    source = f" {escape_markdown(found.source)}." if found.source else ""
    yield from (f"{shelf_of(found).title}.{source}", "")
    yield from (f"![Picture of {found.name}]({found.name}.svg)", "", "## Equations", "")
    yield from ("```text", equations(cell).rstrip(), "```", "", "```math", latex(cell).rstrip(), "```", "")
    if cell.heads > 1:
        yield from ("Matrices called D are block-diagonal.", "")
    yield from ("## Initialisation", "")
    if found.init:
        yield from ('As published, by `init="published"`; every other weight is uniform in ±1/√H:', "")
        yield from ("| weights | start |", "| --- | --- |")
        yield from (f"| `{selector}` | `{rule}` |" for selector, rule in found.init.items())
        yield from ("", f"Source: {escape_markdown(found.init_source) or 'not stated'}.")
    elif found.init_source:
        yield f"Every weight is uniform in ±1/√H, as published: {escape_markdown(found.init_source)}."
    else:
        yield "Every weight is uniform in ±1/√H; no other rule is known to us."
    yield from ("", "## Numbers", "", "| | |", "| --- | --- |")
    parameters = cell.num_parameters(input_size=SIZE, hidden_size=SIZE)
    flops = cell.flops(input_size=SIZE, hidden_size=SIZE)
    yield f"| states | {', '.join(state.name for state in cell.states)} |"
    yield f"| nodes | {len(cell.live_nodes)} |"
    yield f"| parameters | {parameter_formula(cell)} = {parameters:,} at E = H = {SIZE} |"
    yield f"| FLOPs a token | {flops:,} at E = H = {SIZE} |"
    yield f"| hash | `{cell.hash}` |"
    for result in found.results:
        yield f"| reported | {escape_markdown(result)} |"
    yield ""
    if same:
        yield from (f"The same graph as {', '.join(f'[{name}]({name}.md)' for name in same)}.", "")
    for title, text in (
        ("Searched on", found.searched_on),
        ("Confidence", found.confidence),
        ("Notes", found.notes),
        ("Licence", found.licence),
    ):
        if text:
            yield from (f"{title}: {escape_markdown(text)}", "")
    yield from ("## Use", "", "```python", "import cellzoo", "")
    yield from (f'rnn = cellzoo.rnn("{found.name}", input_size=100, hidden_size=256)', "```")


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"

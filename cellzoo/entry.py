"""A cell of the catalog with its provenance."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cellzoo.errors import CellError, NotationError
from cellzoo.notations import parse
from cellzoo.system.lazy import lazy_property

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cellzoo.cells.cell import Cell


@dataclass(frozen=True)
class CellEntry:
    """A cell with its provenance.

    Attributes:
        name: Its name in the catalog.
        notation: The notation of `genotype`.
        genotype: The cell as text.
        origin: `zoo`, `family`, `package NAME`, or the file's name.
        source: The paper, and the repository and path of the genotype.
        searched_on: The task it was searched on; empty for hand-designed cells.
        published: Reported results, each a mapping with `data`, `by`, and numbers.
        licence: Licence note.
        confidence: How the genotype was verified, such as `file read`.
        notes: Other remarks.
        aliases: Other names under which it loads.
        init: The published initialisation of its weights, selector -> rule, as in `cellzoo.cells.initial`.
        init_source: The source of the initialisation; without `init`, of the default, uniform in ±1 / sqrt(H).
        record: For a found cell, the path of its training's record; see `cellzoo.found`.
    """

    name: str
    notation: str
    genotype: str
    origin: str
    source: str = ""
    searched_on: str = ""
    published: tuple[Mapping[str, Any], ...] = ()
    licence: str = ""
    confidence: str = ""
    notes: str = ""
    aliases: tuple[str, ...] = ()
    init: Mapping[str, float | str] = field(default_factory=dict)
    init_source: str = ""
    record: str = ""

    @property
    def paper(self) -> str:
        """The publication that introduced the cell: `source` up to its first semicolon."""
        return self.source.partition(";")[0].strip()

    @property
    def results(self) -> tuple[str, ...]:
        """The published results as text, one line each."""
        lines = []
        for row in self.published:
            numbers = ", ".join(f"{key} {value}" for key, value in row.items() if key not in ("data", "by"))
            data = f"{row['data']}: " if "data" in row else ""
            lines.append(f"{data}{numbers} ({row.get('by', 'no source given')})")
        return tuple(lines)

    @lazy_property
    def cell(self) -> Cell:
        """The graph.

        Raises:
            NotationError, CellError: The genotype is invalid; the message names the entry.
        """
        try:
            cell = parse(self.genotype, self.notation, self.name)
            return replace(cell, init=tuple(self.init.items())) if self.init else cell
        except (NotationError, CellError) as error:
            raise type(error)(f"{self.origin}: {self.name}: {error}") from error

"""A cell of the catalog with where it comes from."""

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
    """A cell with where it comes from.

    Attributes:
        name: Its name in the catalog.
        notation: The notation of `genotype`.
        genotype: The cell as text.
        origin: `zoo`, `family`, `package NAME`, or the file's name.
        source: Paper, repository and path that it was taken from.
        searched_on: The task it was searched on; empty for hand-designed cells.
        published: Reported results, each a mapping with `data`, `by`, and numbers.
        licence: Licence note.
        confidence: How sure the source is, such as `file read`.
        notes: Anything else worth knowing.
        aliases: Other names that it loads by.
        init: How its weights start where it was published, as in `cellzoo.cells.initial`: selector -> rule.
        init_source: Where that was published; without `init`, where ±1 / sqrt(H), the default, was.
        record: Of a found cell: the record of a training, beside its file; see `cellzoo.found`.
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
        """Where the cell was first described: `source` up to its first semicolon."""
        return self.source.partition(";")[0].strip()

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

"""The space of ENAS arcs, with the operation tables of the published code bases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellzoo.errors import CellzooError, unknown
from cellzoo.notations import enas
from cellzoo.notations.enas import TABLES
from search.spaces.choices import another, check_nodes

if TYPE_CHECKING:
    import random

    from cellzoo.cells.cell import Cell

Arc = tuple[int, ...]


@dataclass(frozen=True)
class EnasSpace:
    """Arcs: a pair (predecessor, operation) for each node, as numbers.

    Attributes:
        nodes: Nodes after node 0.
        table: A table of the ENAS notation in which node 0 is not searched.

    Raises:
        CellzooError: A value is out of range.
    """

    nodes: int = 8
    table: str = "enas_lm"

    def __post_init__(self) -> None:
        check_nodes(self.nodes)
        known = [name for name, table in TABLES.items() if not table.has_start]
        if self.table in TABLES and self.table not in known:
            raise CellzooError(
                f"table {self.table!r} also has an operation for node 0; expected one of {', '.join(known)}"
            )
        if self.table not in known:
            raise unknown("table", self.table, known)

    @property
    def operations(self) -> tuple[str, ...]:
        """The operations by number."""
        return TABLES[self.table].operations

    def sample(self, generator: random.Random) -> Arc:
        """Draw every number uniformly."""
        return tuple(
            number
            for node in range(1, self.nodes + 1)
            for number in (generator.randrange(node), generator.randrange(len(self.operations)))
        )

    def mutate(self, genotype: Arc, generator: random.Random) -> Arc:
        """Replace one number; all but the predecessor of node 1, which has no other, are equally likely."""
        place = generator.randrange(1, 2 * self.nodes)
        choices = range(len(self.operations)) if place % 2 else range(place // 2 + 1)
        return (*genotype[:place], another(genotype[place], choices, generator), *genotype[place + 1 :])

    def encode(self, genotype: Arc) -> tuple[int, ...]:
        """The arc itself."""
        return genotype

    def to_cell(self, genotype: Arc, name: str = "") -> Cell:
        """Build the cell."""
        return enas.parse({"table": self.table, "arc": genotype}, name)

"""The recurrent space of DARTS: each node applies one operation to one earlier state."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cellzoo.notations import darts
from cellzoo.notations.darts import Genotype
from cellzoo.notations.steps.graph import OPERATIONS, Edge
from search.spaces.choices import another, check_nodes, check_operations, nothing_else

if TYPE_CHECKING:
    import random

    from cellzoo.cells.cell import Cell


@dataclass(frozen=True)
class DartsSpace:
    """Cells of the DARTS notation.

    Attributes:
        nodes: Nodes after state 0; all of them are averaged.
        operations: The operations to choose from.
        highway: Whether each node has a highway gate on the state that it reads.

    Raises:
        CellzooError: A value is out of range.
    """

    nodes: int = 8
    operations: tuple[str, ...] = OPERATIONS
    highway: bool = True

    def __post_init__(self) -> None:
        check_nodes(self.nodes)
        check_operations(self.operations)

    def genotype(self, edges: tuple[Edge, ...]) -> Genotype:
        """The genotype with these edges (operation, predecessor), one for each node."""
        return Genotype(edges, tuple(range(1, self.nodes + 1)), highway=self.highway)

    def sample(self, generator: random.Random) -> Genotype:
        """Draw operation and predecessor of each node uniformly, as Li & Talwalkar 2019, section 4.1."""
        return self.genotype(
            tuple(
                (generator.choice(self.operations), generator.randrange(node))
                for node in range(1, self.nodes + 1)
            )
        )

    def mutate(self, genotype: Genotype, generator: random.Random) -> Genotype:
        """Replace one operation or one predecessor; all that can change are equally likely."""
        changes = [("operation", node) for node in range(1, self.nodes + 1) if len(self.operations) > 1]
        changes += [("predecessor", node) for node in range(2, self.nodes + 1)]
        if not changes:
            raise nothing_else()
        what, node = generator.choice(changes)
        op, predecessor = genotype.recurrent[node - 1]
        if what == "operation":
            op = another(op, self.operations, generator)
        else:
            predecessor = another(predecessor, range(node), generator)
        edges = [*genotype.recurrent]
        edges[node - 1] = (op, predecessor)
        return replace(genotype, recurrent=tuple(edges))

    def encode(self, genotype: Genotype) -> tuple[int, ...]:
        """For each node the index of its operation, and its predecessor."""
        return tuple(
            number
            for op, predecessor in genotype.recurrent
            for number in (self.operations.index(op), predecessor)
        )

    def to_cell(self, genotype: Genotype, name: str = "") -> Cell:
        """Build the cell."""
        return darts.parse(genotype, name)

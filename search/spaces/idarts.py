"""The space of I-DARTS, top-n: each node combines n different pairs of operation and predecessor."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from cellzoo.errors import CellzooError, unknown
from cellzoo.notations import idarts
from cellzoo.notations.idarts import TopN
from cellzoo.notations.steps.graph import MEAN, OPERATIONS, SUM, Edge, ordered
from search.spaces.choices import another, check_nodes, check_operations, nothing_else

if TYPE_CHECKING:
    import random

    from cellzoo.cells.cell import Cell

Combine: TypeAlias = Literal["mean", "sum"]


@dataclass(frozen=True)
class IDartsSpace:
    """Cells of the I-DARTS notation.

    Attributes:
        nodes: Nodes after state 0; all of them are averaged.
        operations: The operations to choose from.
        edges: n, the pairs that each node combines; at most the number of operations, because node 1 has only
            one predecessor.
        combine: How they are combined. `sum` is the paper's equation; it doubles the scale of a node with two
            edges, which plausibly explains why the paper's n = 2 failed to train, so `mean` is the default.
        highway: Whether each edge has a highway gate on the state that it reads.

    Raises:
        CellzooError: A value is out of range.
    """

    nodes: int = 8
    operations: tuple[str, ...] = OPERATIONS
    edges: int = 2
    combine: Combine = "mean"
    highway: bool = True

    def __post_init__(self) -> None:
        check_nodes(self.nodes)
        check_operations(self.operations)
        if not 1 <= self.edges <= len(self.operations):
            raise CellzooError(
                f"n is {self.edges} edges a node; node 1 has one predecessor and {len(self.operations)} "
                f"operations, so n is 1 to {len(self.operations)}"
            )
        if self.combine not in (MEAN, SUM):
            raise unknown("way to combine edges", self.combine, (MEAN, SUM))

    def genotype(self, nodes: tuple[tuple[Edge, ...], ...]) -> TopN:
        """The genotype with these edges (operation, predecessor) of each node, in any order."""
        concat = tuple(range(1, self.nodes + 1))
        return TopN(tuple(ordered(edges) for edges in nodes), concat, self.combine, self.highway)

    def sample(self, generator: random.Random) -> TopN:
        """Draw the edges of each node; all sets are equally likely."""
        return self.genotype(
            tuple(tuple(generator.sample(self._all(node), self.edges)) for node in range(1, self.nodes + 1))
        )

    def mutate(self, genotype: TopN, generator: random.Random) -> TopN:
        """Replace one edge of one node by one that the node does not have."""
        nodes = [node for node in range(1, self.nodes + 1) if len(self._all(node)) > self.edges]
        if not nodes:
            raise nothing_else()
        node = generator.choice(nodes)
        edges = [*genotype.recurrent[node - 1]]
        free = [edge for edge in self._all(node) if edge not in edges]
        place = generator.randrange(len(edges))
        edges[place] = another(edges[place], free, generator)
        recurrent = [*genotype.recurrent]
        recurrent[node - 1] = ordered(edges)
        return replace(genotype, recurrent=tuple(recurrent))

    def encode(self, genotype: TopN) -> tuple[int, ...]:
        """For each operation on each edge, in order, 1 if it is part of the cell and 0 otherwise."""
        return tuple(
            int(edge in edges)
            for node, edges in enumerate(genotype.recurrent, start=1)
            for edge in self._all(node)
        )

    def to_cell(self, genotype: TopN, name: str = "") -> Cell:
        """Build the cell."""
        return idarts.parse(genotype, name)

    def _all(self, node: int) -> list[Edge]:
        return [(op, predecessor) for predecessor in range(node) for op in self.operations]

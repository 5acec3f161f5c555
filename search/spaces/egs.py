"""The space of DARTS-EGS: on every edge any set of at most M operations, including the empty set."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cellzoo.errors import CellError, CellzooError
from cellzoo.notations import egs
from cellzoo.notations.egs import Code
from cellzoo.notations.steps.graph import NONE, OPERATIONS, Edge, ordered
from search.spaces.choices import check_nodes, check_operations

if TYPE_CHECKING:
    import random

    from cellzoo.cells.cell import Cell

MAX_SAMPLES = 100


@dataclass(frozen=True)
class EgsSpace:
    """Cells of the DARTS-EGS notation.

    Attributes:
        nodes: Nodes after state 0; all of them are averaged.
        operations: The operations to choose from.
        samples: M, the largest number of operations on an edge.
        normalize: Whether a node is divided by the number of its active operations.

    Raises:
        CellzooError: A value is out of range.
    """

    nodes: int = 8
    operations: tuple[str, ...] = OPERATIONS
    samples: int = 4
    normalize: bool = True

    def __post_init__(self) -> None:
        check_nodes(self.nodes)
        check_operations(self.operations)
        check_samples(self.samples)

    def genotype(self, nodes: tuple[tuple[Edge, ...], ...]) -> Code:
        """The code with these active (operation, predecessor) of each node, in any order."""
        concat = tuple(range(1, self.nodes + 1))
        return Code(tuple(ordered(edges) for edges in nodes), concat, self.normalize)

    def sample(self, generator: random.Random) -> Code:
        """Draw for every edge the set that M uniform draws from the operations and `none` give.

        Codes whose output does not depend on the input are rejected.
        """
        while True:
            nodes = []
            for node in range(1, self.nodes + 1):
                hits = {
                    (op, predecessor)
                    for predecessor in range(node)
                    for op in generator.choices((NONE, *self.operations), k=self.samples)
                }
                nodes.append(tuple(edge for edge in hits if edge[0] != NONE))
            code = self.genotype(tuple(nodes))
            if self._is_cell(code):
                return code

    def mutate(self, genotype: Code, generator: random.Random) -> Code:
        """Switch one operation on one edge on or off; all that give a cell of the space are equally likely."""
        switches = [(node, edge) for node in range(1, self.nodes + 1) for edge in self._all(node)]
        generator.shuffle(switches)
        for node, edge in switches:
            edges = set(genotype.recurrent[node - 1]) ^ {edge}
            if sum(predecessor == edge[1] for _, predecessor in edges) > self.samples:
                continue
            recurrent = [*genotype.recurrent]
            recurrent[node - 1] = ordered(edges)
            found = replace(genotype, recurrent=tuple(recurrent))
            if self._is_cell(found):
                return found
        raise CellzooError("no other code of the space differs by a single operation")

    def encode(self, genotype: Code) -> tuple[int, ...]:
        """For each operation on each edge, in order, 1 if it is active and 0 otherwise."""
        return tuple(
            int(edge in edges)
            for node, edges in enumerate(genotype.recurrent, start=1)
            for edge in self._all(node)
        )

    def to_cell(self, genotype: Code, name: str = "") -> Cell:
        """Build the cell."""
        return egs.parse(genotype, name)

    def _all(self, node: int) -> list[Edge]:
        return [(op, predecessor) for predecessor in range(node) for op in self.operations]

    def _is_cell(self, code: Code) -> bool:
        try:
            self.to_cell(code)
        except CellError:
            return False
        return True


def check_samples(samples: int) -> None:
    """Check M.

    Raises:
        CellzooError: It is out of range.
    """
    if not 1 <= samples <= MAX_SAMPLES:
        raise CellzooError(f"M is {samples} samples an edge; expected 1 to {MAX_SAMPLES}")

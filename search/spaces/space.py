"""The contract of a space: what can be found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    import random

    from cellzoo.cells.cell import Cell

Genotype = TypeVar("Genotype")
"""How a space writes down one of its cells: immutable, and comparable with ==."""


class Space(Protocol[Genotype]):
    """A set of cells that can be drawn from and walked in.

    All random numbers come from the generator that is passed, so a seed means the same in every process.
    """

    def sample(self, generator: random.Random) -> Genotype:
        """Draw a genotype; the docstring of each space says from which distribution."""
        ...

    def mutate(self, genotype: Genotype, generator: random.Random) -> Genotype:
        """Change one thing at random, so that another genotype comes out.

        Raises:
            CellzooError: The space holds nothing else.
        """
        ...

    def encode(self, genotype: Genotype) -> tuple[int, ...]:
        """Write a genotype as whole numbers: equally many for all, different ones for different genotypes."""
        ...

    def to_cell(self, genotype: Genotype, name: str = "") -> Cell:
        """Build the cell."""
        ...

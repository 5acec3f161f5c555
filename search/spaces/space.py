"""The interface of a search space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    import random

    from cellzoo.cells.cell import Cell

Genotype = TypeVar("Genotype")
"""A space's representation of a cell: immutable, and comparable with ==."""


class Space(Protocol[Genotype]):
    """A set of cells with random draws and mutations.

    All random numbers come from the generator that is passed, so a seed gives the same draws in every process.
    """

    def sample(self, generator: random.Random) -> Genotype:
        """Draw a genotype; each space documents the distribution."""
        ...

    def mutate(self, genotype: Genotype, generator: random.Random) -> Genotype:
        """Make a random change that gives a different genotype.

        Raises:
            CellzooError: The space has no other genotype to mutate it into.
        """
        ...

    def encode(self, genotype: Genotype) -> tuple[int, ...]:
        """Encode a genotype as integers: a fixed number of them, different for different genotypes."""
        ...

    def to_cell(self, genotype: Genotype, name: str = "") -> Cell:
        """Build the cell."""
        ...

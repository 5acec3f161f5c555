"""The extended space of ESS: a DARTS cell, and two gates on the inputs and states of the last m steps."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cellzoo.errors import CellzooError
from cellzoo.notations import ess
from cellzoo.notations.ess import DENSE, MAX_DELAY, Extended
from cellzoo.notations.steps.graph import OPERATIONS
from search.spaces.choices import another, check_operations, nothing_else
from search.spaces.darts import DartsSpace

if TYPE_CHECKING:
    import random

    from cellzoo.cells.cell import Cell
    from cellzoo.notations.darts import Genotype

_INTRA = "intra"


@dataclass(frozen=True)
class EssSpace:
    """Cells of the ESS notation without the operation `drop`.

    Attributes:
        intra: The space of the DARTS cell.
        delay: m, the number of past steps that the gates read.
        past_operations: The operations of the gates to choose from.
        inter_weights: The kind of weights of the gates, as in the notation.

    Raises:
        CellzooError: A value is out of range.
    """

    intra: DartsSpace = field(default_factory=DartsSpace)
    delay: int = 3
    past_operations: tuple[str, ...] = OPERATIONS
    inter_weights: str = DENSE

    def __post_init__(self) -> None:
        check_operations(self.past_operations)
        if not 1 <= self.delay <= MAX_DELAY:
            raise CellzooError(f"delay is {self.delay}; the gates read the last 1 to {MAX_DELAY} steps")
        # Reading a genotype checks `inter_weights`.
        ess.read_genotype(self.genotype(self.intra.genotype((("tanh", 0),) * self.intra.nodes), (), ()))

    def genotype(self, intra: Genotype, past_inputs: tuple[str, ...], past_states: tuple[str, ...]) -> Extended:
        """The genotype with these parts."""
        return Extended(
            intra.recurrent, intra.concat, past_inputs, past_states, self.inter_weights, intra.highway
        )

    def sample(self, generator: random.Random) -> Extended:
        """Draw every operation and predecessor uniformly."""
        intra = self.intra.sample(generator)
        past_inputs = tuple(generator.choice(self.past_operations) for _ in range(self.delay))
        past_states = tuple(generator.choice(self.past_operations) for _ in range(self.delay))
        return self.genotype(intra, past_inputs, past_states)

    def mutate(self, genotype: Extended, generator: random.Random) -> Extended:
        """Replace one operation or one predecessor."""
        can_change = [_INTRA] * self.intra.nodes if self._intra_can_change else []
        if len(self.past_operations) > 1:
            can_change += ["past_inputs", "past_states"] * self.delay
        if not can_change:
            raise nothing_else()
        part = generator.choice(can_change)
        if part == _INTRA:
            intra = self.intra.mutate(self.intra.genotype(genotype.recurrent), generator)
            return replace(genotype, recurrent=intra.recurrent)
        past = [*(genotype.past_inputs if part == "past_inputs" else genotype.past_states)]
        place = generator.randrange(self.delay)
        past[place] = another(past[place], self.past_operations, generator)
        if part == "past_inputs":
            return replace(genotype, past_inputs=tuple(past))
        return replace(genotype, past_states=tuple(past))

    def encode(self, genotype: Extended) -> tuple[int, ...]:
        """The code of the DARTS cell, then the indices of the operations on past inputs and on past states."""
        past = (*genotype.past_inputs, *genotype.past_states)
        inside = self.intra.encode(self.intra.genotype(genotype.recurrent))
        return (*inside, *map(self.past_operations.index, past))

    def to_cell(self, genotype: Extended, name: str = "") -> Cell:
        """Build the cell."""
        return ess.parse(genotype, name)

    @property
    def _intra_can_change(self) -> bool:
        return self.intra.nodes > 1 or len(self.intra.operations) > 1

"""The space of FENAS: nodes with two inputs and one of 14 functions, in cells with the state h, or h and c."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from cellzoo import catalog
from cellzoo.errors import CellzooError, unknown
from cellzoo.notations import fenas
from cellzoo.notations.fenas_list import FUNCTIONS, ZERO, Architecture, Gene, read_architecture, to_cell
from search.spaces.choices import another, check_nodes

if TYPE_CHECKING:
    import random

    from cellzoo.cells.cell import Cell

States: TypeAlias = Literal["h", "h+c", "any"]
HAS_MEMORY = {"h": False, "h+c": True, "any": None}
KNOWN = {"lstm": "fenas-lstm", "gru": "fenas-gru"}
"""Known cells of the space -> the names of their node lists in the zoo."""
_START = ("x", "h", "c", ZERO)


@dataclass(frozen=True)
class FenasSpace:
    """Node lists of the FENAS notation (Pasunuru & Bansal 2020, section 3.1).

    Attributes:
        nodes: Computational nodes, including those without effect on the output; the paper's 9 allow an LSTM.
        states: `h`, `h+c`, or `any` of them.
        changes_inputs: Whether a mutation may also replace an input or the next c, as in Real et al. 2019; the
            paper's mutation only changes the function of a node.

    Raises:
        CellzooError: A value is out of range.
    """

    nodes: int = fenas.NODES
    states: States = "any"
    changes_inputs: bool = False

    def __post_init__(self) -> None:
        check_nodes(self.nodes)
        if self.states not in HAS_MEMORY:
            raise unknown("choice of states", self.states, HAS_MEMORY)
        if self.nodes == 1 and self.states != "h":
            # The output depends on x and every state, and one node has two inputs.
            raise CellzooError(
                f"states is {self.states!r} with 1 node; cells with h and c have at least 2 nodes"
            )

    def sample(self, generator: random.Random) -> Architecture:
        """Draw uniformly among the valid node lists; with `any` states, h or h and c is drawn first."""
        text = fenas.sample(generator, nodes=self.nodes, memory=HAS_MEMORY[self.states])
        return read_architecture(text)

    def mutate(self, genotype: Architecture, generator: random.Random) -> Architecture:
        """Replace the function of one node; all changes that give a valid node list are equally likely.

        With `changes_inputs` the kind of change is drawn first: function, input, or next c.
        """
        kinds = ["function"]
        if self.changes_inputs:
            kinds += ["input", *(["memory"] if genotype.memory is not None and self.nodes > 1 else [])]
        while True:
            mutant = self._change(genotype, generator.choice(kinds), generator)
            if fenas.is_valid(mutant):
                return mutant

    def encode(self, genotype: Architecture) -> tuple[int, ...]:
        """The number of the node that is the next c, 0 for none; then each node's function and two inputs."""
        numbers = [0 if genotype.memory is None else int(genotype.memory[1:])]
        for gene in genotype.genes:
            numbers += [FUNCTIONS.index(gene.function), _index(gene.first), _index(gene.second)]
        return tuple(numbers)

    def to_cell(self, genotype: Architecture, name: str = "") -> Cell:
        """Build the cell."""
        return to_cell(genotype, name)

    def member(self, name: str) -> Architecture:
        """A known cell as a genotype of this space, padded with identity nodes.

        Args:
            name: `lstm`, or `gru` with the reset gate before the product.

        Raises:
            CellzooError: The name is unknown, or the cell does not fit into the space.
        """
        if name not in KNOWN:
            raise unknown("cell of the space", name[:80], KNOWN)
        found = read_architecture(catalog.entry(KNOWN[name]).genotype)
        if HAS_MEMORY[self.states] not in (None, found.memory is not None):
            raise CellzooError(f"{name} is not in the space of cells with the states {self.states}")
        size = len(found.genes)
        if self.nodes < size:
            raise CellzooError(f"{name} has {size} nodes; the space has cells of {self.nodes}")
        more = [Gene("a_id", f"n{number}") for number in range(size, self.nodes)]
        return Architecture((*found.genes, *more), found.memory)

    def _change(self, genotype: Architecture, kind: str, generator: random.Random) -> Architecture:
        if kind == "memory":
            nodes = [f"n{number}" for number in range(1, self.nodes + 1)]
            return replace(genotype, memory=another(genotype.memory, nodes, generator))
        node = generator.randrange(self.nodes)
        gene = genotype.genes[node]
        if kind == "function":
            gene = replace(gene, function=another(gene.function, FUNCTIONS, generator))
        else:
            values = ["x", "h", *(["c"] if genotype.memory is not None else []), ZERO]
            values += [f"n{number}" for number in range(1, node + 1)]
            if generator.random() < 0.5:
                gene = replace(gene, first=another(gene.first, values, generator))
            else:
                gene = replace(gene, second=another(gene.second, values, generator))
        return replace(genotype, genes=(*genotype.genes[:node], gene, *genotype.genes[node + 1 :]))


def _index(value: str) -> int:
    return _START.index(value) if value in _START else len(_START) - 1 + int(value[1:])

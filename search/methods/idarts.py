"""I-DARTS: one softmax over all edges into a node, so that edges compete with each other.

Jiang et al. 2019, "Improved Differentiable Architecture Search for Language Modeling and Named Entity
Recognition", with details from rnn/model_search.py of jiangyingjunn/i-darts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import model_validator

from cellzoo.notations import idarts
from cellzoo.notations.steps.graph import NONE
from search.methods.darts import ranked_edges
from search.methods.gradient import Bilevel, GradientSearch
from search.methods.kind import MethodKind
from search.methods.settings import BilevelSettings
from search.methods.shared_weights import share_weights
from search.spaces.idarts import Combine, IDartsSpace
from search.supernets.layout import CELL
from search.supernets.relaxation import JointSoftmax
from tasks.settings import Size

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from cellzoo.notations.idarts import TopN
    from cellzoo.notations.steps.graph import Edge
    from search.supernets.layout import Layout
    from tasks.problem import Problem


class IDartsSettings(BilevelSettings):
    """Settings of `idarts`; see `BilevelSettings` for the others.

    Attributes:
        edges: n, the edges that each node keeps.
        combine: How a node combines them; see `IDartsSpace`.
        skip_start: Whether only the first node may read state 0: a rule of the authors' code for n = 1, which
            is not in the paper.
    """

    edges: Size = 1
    combine: Combine = "mean"
    skip_start: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        self.space()
        if self.skip_start and self.edges != 1:
            raise ValueError(
                f"skip_start is a rule of the authors' code for n = 1, not for {self.edges} edges a node"
            )
        return self

    def space(self) -> IDartsSpace:
        """The space of derived cells.

        Raises:
            CellzooError: As in `IDartsSpace`.
        """
        operations = tuple(op for op in self.operations if op != NONE)
        return IDartsSpace(self.nodes, operations, self.edges, self.combine, self.highway)


def build(settings: IDartsSettings, problem: Problem, generator: torch.Generator) -> GradientSearch:
    """Build the method; see `MethodKind.build`."""
    layout, space = settings.layout(), settings.space()
    relaxation = JointSoftmax(layout, problem.layer, generator)
    shared = share_weights(layout, relaxation, problem, settings, generator)
    return GradientSearch(
        shared,
        Bilevel(shared, relaxation, settings),
        derive=lambda: idarts.parse(
            derive(layout, space, relaxation.probabilities(CELL), skip_start=settings.skip_start)
        ),
        notation="idarts",
    )


def derive(layout: Layout, space: IDartsSpace, probabilities: Tensor, *, skip_start: bool) -> TopN:
    """Keep, for each node, the n most probable pairs of operation and predecessor.

    `none` is excluded. Ties are resolved in favour of the first.

    Args:
        layout: Of the supernet.
        space: Has n.
        probabilities: Of each operation on each edge, (edges, K); those into a node sum to 1.
        skip_start: As in `IDartsSettings`: a node after the first whose best pair reads state 0 takes the best
            pair that does not.
    """

    def kept(node: int) -> tuple[Edge, ...]:
        ranked = ranked_edges(layout, probabilities, node)
        if skip_start and node > 1:
            ranked = [(op, predecessor) for op, predecessor in ranked if predecessor != 0]
        return tuple(ranked[: space.edges])

    return space.genotype(tuple(kept(node) for node in range(1, layout.nodes + 1)))


METHOD = MethodKind(
    "idarts", "one softmax over all edges into a node (Jiang et al. 2019)", IDartsSettings, build
)

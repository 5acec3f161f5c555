"""DARTS: a softmax on every edge, trained by gradient descent on held-out data.

Liu et al. 2019, "DARTS: Differentiable Architecture Search", with details from rnn/ of quark0/darts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellzoo.notations import darts
from cellzoo.notations.darts import Genotype
from cellzoo.notations.steps.graph import NONE
from search.methods.gradient import Bilevel, GradientSearch
from search.methods.kind import MethodKind
from search.methods.settings import BilevelSettings
from search.methods.shared_weights import share_weights
from search.supernets.layout import CELL
from search.supernets.relaxation import LocalSoftmax

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from cellzoo.notations.steps.graph import Edge
    from search.supernets.layout import Layout
    from tasks.problem import Problem


class DartsSettings(BilevelSettings):
    """Settings of `darts`; see `BilevelSettings`."""


def build(settings: DartsSettings, problem: Problem, generator: torch.Generator) -> GradientSearch:
    """Build the method; see `MethodKind.build`."""
    layout = settings.layout()
    relaxation = LocalSoftmax(layout, problem.layer, generator)
    shared = share_weights(layout, relaxation, problem, settings, generator)

    return GradientSearch(
        shared,
        Bilevel(shared, relaxation, settings),
        derive=lambda: darts.parse(derive(layout, relaxation.probabilities(CELL))),
        notation="darts",
    )


def derive(layout: Layout, probabilities: Tensor) -> Genotype:
    """Keep for each node the predecessor with the most probable operation, and that operation.

    `none` is excluded. Ties are resolved in favour of the first.

    Args:
        layout: Of the supernet.
        probabilities: Of each operation on each edge, (edges, K).
    """
    edges = tuple(best_edge(layout, probabilities, node) for node in range(1, layout.nodes + 1))
    return Genotype(edges, tuple(range(1, layout.nodes + 1)), highway=layout.highway)


def best_edge(layout: Layout, probabilities: Tensor, node: int) -> Edge:
    """The most probable (operation, predecessor) into a node."""
    return ranked_edges(layout, probabilities, node)[0]


def ranked_edges(layout: Layout, probabilities: Tensor, node: int) -> list[Edge]:
    """All (operation, predecessor) into a node except those of `none`, the most probable first.

    Ties keep the order of predecessors, then operations.
    """
    rows = probabilities[layout.rows(node).start : layout.rows(node).stop].tolist()
    edges = [
        (-probability, predecessor, op)
        for predecessor, row in enumerate(rows)
        for op, probability in zip(layout.operations, row, strict=True)
        if op != NONE
    ]
    return [(op, predecessor) for _, predecessor, op in sorted(edges, key=lambda edge: edge[0])]


METHOD = MethodKind("darts", "a softmax on every edge (Liu et al. 2019)", DartsSettings, build)

"""DARTS-EGS: every edge has a set of operations, searched with ensembles of Gumbel-softmax samples.

Chang et al. 2019, "Differentiable Architecture Search with Ensemble Gumbel-Softmax". Details that the paper
does not state follow the same authors' code for convolutional cells (DATA, NeurIPS 2019): the architecture is
trained on held-out data in first order, the temperature decreases linearly from 5 to 1, and the set of
operations that is the most probable outcome of M draws is derived. That code divides each edge by the number of
its active operations in the search only, so a derived cell computes another function than the supernet did.
Here this is an option; by default each node is divided by the number of its active operations, in the search
and in the cell.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING, Literal, Self

from pydantic import model_validator

from cellzoo.errors import CellError
from cellzoo.notations import egs
from cellzoo.notations.steps.graph import NONE
from search.methods.darts import best_edge
from search.methods.gradient import Bilevel, GradientSearch, Joint, Updates
from search.methods.kind import MethodKind
from search.methods.settings import BilevelSettings
from search.methods.shared_weights import share_weights
from search.spaces.egs import EgsSpace
from search.supernets.ensemble import Division, EnsembleGumbel, ensemble
from search.supernets.layout import CELL
from search.supernets.shares import cell_shares
from tasks.settings import Count, NotNegative, Positive, Probability, Size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch
    from torch import Tensor

    from cellzoo.cells.cell import Cell
    from cellzoo.notations.egs import Code
    from cellzoo.notations.steps.graph import Edge
    from search.methods.method import Progress
    from search.supernets.layout import Layout
    from tasks.problem import Batch, Problem
    from tasks.training.learner import Numbers


class EgsSettings(BilevelSettings):
    """Settings of `egs`; see `BilevelSettings` for the others.

    Attributes:
        samples: M, the number of samples on each edge.
        divide: `node`, a node is divided by the number of its active operations, in the search and in the cell;
            `edge`, as in the authors' code, each edge by the number of its own, in the search only; or `none`.
        levels: `bilevel`, the architecture is trained on held-out data; or `joint`, architecture and weights on
            the same training loss, as in equation 9 of the paper.
        first_temperature: Of the first epoch.
        last_temperature: Of the last epoch; linear between them.
        derivation: `probable`, on each edge the most probable set of operations; or `sampled`, the best of
            sampled codes on held-out data with the shared weights.
        candidates: Number of sampled codes.
        candidate_batches: Batches of dev on which they are evaluated; 0 for all of dev.
        resource: Weight of the expected number of active operations per edge, which is added to the
            architecture's loss; 0 for none. An addition of this package, which makes cells sparser.
        resource_mixing: Share of the operations' costs in the probabilities; 0 for none. Equation 5 of the
            paper has .5; in the authors' code it is off.
    """

    samples: Size = 4
    divide: Division = "node"
    levels: Literal["bilevel", "joint"] = "bilevel"
    first_temperature: Positive = 5.0
    last_temperature: Positive = 1.0
    derivation: Literal["probable", "sampled"] = "probable"
    candidates: Size = 10
    candidate_batches: Count = 0
    resource: NotNegative = 0.0
    resource_mixing: Probability = 0.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        self.space()
        if self.order != 1:
            raise ValueError("egs samples a code in every pass, so it has no second order; order must be 1")
        if not self.highway:
            raise ValueError("the notation of DARTS-EGS has a highway on every edge; highway must be true")
        return self

    def space(self) -> EgsSpace:
        """The space of derived cells.

        Raises:
            CellzooError: As in `EgsSpace`.
        """
        operations = tuple(op for op in self.operations if op != NONE)
        return EgsSpace(self.nodes, operations, self.samples, self.is_mean)

    @property
    def is_mean(self) -> bool:
        """Whether the cell divides its nodes."""
        return self.divide == "node"

    def temperature(self, epoch: int, epochs: int) -> float:
        """The temperature of an epoch, from 0."""
        share = epoch / (epochs - 1) if epochs > 1 else 1.0
        return self.first_temperature + share * (self.last_temperature - self.first_temperature)


def build(settings: EgsSettings, problem: Problem, generator: torch.Generator) -> GradientSearch:
    """Build the method; see `MethodKind.build`."""
    layout, space = settings.layout(), settings.space()

    def shares(code: Code) -> dict[str, Tensor]:
        return cell_shares(layout, code.recurrent, mean=settings.is_mean)

    relaxation = EnsembleGumbel(
        layout,
        problem.layer,
        generator,
        samples=settings.samples,
        divide=settings.divide,
        resource_mixing=settings.resource_mixing,
        choose=lambda probabilities: shares(derive(layout, space, probabilities)),
    )
    shared = share_weights(layout, relaxation, problem, settings, generator)

    def resource() -> Tensor:
        return settings.resource * expected_active(layout, relaxation.probabilities(CELL), settings.samples)

    penalty = resource if settings.resource > 0.0 else None
    updates: Updates = (
        Bilevel(shared, relaxation, settings, penalty=penalty)
        if settings.levels == "bilevel"
        else Joint(shared, relaxation, settings, penalty=penalty)
    )

    def at_epoch(epoch: int, epochs: int) -> Numbers:
        relaxation.temperature = settings.temperature(epoch, epochs)
        return {"temperature": relaxation.temperature}

    def found() -> Cell:
        return egs.parse(derive(layout, space, relaxation.probabilities(CELL).detach()))

    def best_of(validation: Iterator[Batch], progress: Progress) -> Cell:
        batches = [next(validation) for _ in range(settings.candidate_batches)]
        log_probabilities = relaxation.probabilities(CELL).detach().log()
        best: tuple[float, Code] | None = None
        for number in range(1, settings.candidates + 1):
            drawn = ensemble(log_probabilities, settings.samples, 1.0, generator)
            code = as_cell(layout, space, active_edges(layout, drawn), log_probabilities.exp())
            loss = shared.evaluate_cell(shares(code), batches)
            progress(number, settings.candidates)
            if math.isfinite(loss) and (best is None or loss < best[0]):
                best = (loss, code)
        return found() if best is None else egs.parse(best[1])

    return GradientSearch(
        shared,
        updates,
        derive=found,
        notation="egs",
        at_epoch=at_epoch,
        conclude=best_of if settings.derivation == "sampled" else None,
        generators={"samples": generator},
    )


def expected_active(layout: Layout, probabilities: Tensor, samples: int) -> Tensor:
    """Expected number of active operations per edge, without `none`: mean of the sum of 1 - (1 - p)^M."""
    real = [column for column, op in enumerate(layout.operations) if op != NONE]
    return (1.0 - (1.0 - probabilities[:, real]).pow(samples)).sum(dim=-1).mean()


def derive(layout: Layout, space: EgsSpace, probabilities: Tensor) -> Code:
    """Keep on each edge the set of operations that is the most probable outcome of M draws.

    `none` may be in the set; it adds nothing. See `as_cell` for nodes with no other operation.

    Args:
        layout: Of the supernet.
        space: Has M.
        probabilities: Of each operation on each edge in one draw, (edges, K).
    """
    nodes: list[list[Edge]] = []
    for node in range(1, layout.nodes + 1):
        edges: list[Edge] = []
        for predecessor, row in enumerate(layout.rows(node)):
            columns = most_probable_set(probabilities[row].tolist(), space.samples)
            names = [layout.operations[column] for column in columns]
            edges += [(op, predecessor) for op in names if op != NONE]
        nodes.append(edges)
    return as_cell(layout, space, nodes, probabilities)


def as_cell(layout: Layout, space: EgsSpace, nodes: Sequence[Sequence[Edge]], probabilities: Tensor) -> Code:
    """Convert active edges to a code.

    If its output does not depend on the input, because of `none`, it is not a cell; then each node without an
    edge gets its most probable one.
    """
    code = space.genotype(tuple(map(tuple, nodes)))
    try:
        space.to_cell(code)
    except CellError:
        filled = [
            tuple(edges) or (best_edge(layout, probabilities, node),)
            for node, edges in enumerate(nodes, start=1)
        ]
        return space.genotype(tuple(filled))
    return code


def active_edges(layout: Layout, code: Tensor) -> list[list[Edge]]:
    """The active (operation, predecessor) of each node of a code of 0 and 1, (edges, K)."""
    return [
        [
            (op, predecessor)
            for predecessor, row in enumerate(layout.rows(node))
            for op, active in zip(layout.operations, code[row].tolist(), strict=True)
            if active and op != NONE
        ]
        for node in range(1, layout.nodes + 1)
    ]


def most_probable_set(probabilities: Sequence[float], samples: int) -> tuple[int, ...]:
    """The set that is the most probable outcome of `samples` draws; of equally probable ones the smallest.

    By inclusion and exclusion the draws give exactly the set S with probability
    sum over T in S of (-1)^(|S| - |T|) (sum of p_k over k in T)^M.

    Args:
        probabilities: Of the outcomes, summing to 1.
        samples: M.

    Returns:
        Indices of outcomes, at most M of them.
    """
    best = -1.0
    found: tuple[int, ...] = ()
    for size in range(1, min(samples, len(probabilities)) + 1):
        for members in combinations(range(len(probabilities)), size):
            probability = 0.0
            for part in range(1, size + 1):
                sign = (-1.0) ** (size - part)
                for chosen in combinations(members, part):
                    probability += sign * sum(probabilities[member] for member in chosen) ** samples
            if probability > best + 1e-12:
                best, found = probability, members
    return found


METHOD = MethodKind(
    "egs", "sets of operations by ensembles of Gumbel-softmax samples (Chang et al. 2019)", EgsSettings, build
)

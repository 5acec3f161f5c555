"""DARTS-EGS: every edge has a set of operations, searched with ensembles of Gumbel-softmax samples.

Chang et al. 2019, "Differentiable Architecture Search with Ensemble Gumbel-Softmax". What the paper leaves
open follows the same authors' code for convolutional cells (DATA, NeurIPS 2019): the architecture learns from
held-out data in first order, the temperature falls linearly from 5 to 1, and of all sets of operations the one
that M draws hit most probably is derived. That code divides each edge by the number of its active operations,
but only in the search, so that a cell is another function than what was searched; here it is an option, and a
node is divided by default, in both.
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
        samples: M, the samples of an edge.
        divide: `node`, a node is divided by the number of its active operations, in the search and in the cell;
            `edge`, as in the authors' code, each edge by the number of its own, in the search alone; or `none`.
        levels: `bilevel`, the architecture learns from held-out data; or `joint`, architecture and weights from
            the same training loss, as equation 9 of the paper says.
        first_temperature: Of the first epoch.
        last_temperature: Of the last epoch; linear between them.
        derivation: `probable`, on each edge the most probable set of operations; or `sampled`, the best on
            held-out data, with the shared weights, of codes that are drawn.
        candidates: How many are drawn.
        candidate_batches: How many batches of dev they are evaluated on; 0 for all of dev.
        resource: Weight of the expected number of active operations an edge, which is added to the
            architecture's loss; 0 for none. A term of our own, which makes cells sparser.
        resource_mixing: Share of the operations' costs in the probabilities; 0 for none. Equation 5 of the
            paper has .5; the authors' code leaves it off.
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
            raise ValueError("egs draws a code in every pass, so it has no second order; order must be 1")
        if not self.highway:
            raise ValueError("the notation of DARTS-EGS has a highway on every edge; highway must be true")
        return self

    def space(self) -> EgsSpace:
        """What can be derived.

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
        """Tau of an epoch, from 0."""
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
    """Expected number of active operations an edge, `none` not counted: mean of the sum of 1 - (1 - p)^M."""
    real = [column for column, op in enumerate(layout.operations) if op != NONE]
    return (1.0 - (1.0 - probabilities[:, real]).pow(samples)).sum(dim=-1).mean()


def derive(layout: Layout, space: EgsSpace, probabilities: Tensor) -> Code:
    """Keep on each edge the set of operations that is exactly what M draws hit with the highest probability.

    `none` may be in the set; it adds nothing. See `as_cell` for what happens where nothing else is left.

    Args:
        layout: Of the supernet.
        space: Says M.
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
    """Write active edges as a code; if that is not a cell, nodes without an edge get their most probable one.

    A code in which `none` cut the output off from the input is not a cell.
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
    """The set that `samples` draws hit exactly, with the highest probability; of equals the first and smallest.

    By inclusion and exclusion a set S is hit exactly with probability
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

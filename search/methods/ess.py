"""ESS: a DARTS cell (intra-cell) and gates on past inputs and states (inter-cell), trained alternately.

Li et al. 2020, "Learning Architectures from an Extended Search Space for Language Modeling". No code is public;
`cellzoo.notations.ess` and `search.supernets.gates` document how its gates are interpreted here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal, Self

from pydantic import model_validator

import cellzoo
from cellzoo.errors import CellzooError
from cellzoo.notations import darts, ess
from cellzoo.notations.ess import DENSE, DROP, Extended
from cellzoo.notations.steps.graph import NONE
from search.methods import darts as darts_search
from search.methods.gradient import Bilevel, GradientSearch
from search.methods.kind import MethodKind
from search.methods.settings import BilevelSettings
from search.methods.shared_weights import share_weights
from search.supernets.layout import CELL, GATES, PAST_INPUTS, PAST_STATES, Layout
from search.supernets.relaxation import LocalSoftmax
from search.supernets.shares import cell_shares
from tasks.settings import Count, Positive, Size

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from cellzoo.notations.darts import Genotype
    from tasks.problem import Problem
    from tasks.training.learner import Numbers


class EssSettings(BilevelSettings):
    """Settings of `ess`; see `BilevelSettings` for the others.

    Attributes:
        mode: `intra`, only the DARTS cell, without gates; `inter`, only the gates, around a given cell;
            `joint`, both alternately.
        delay: m, the number of past steps that the gates read.
        past_operations: The operations of the gates to choose from.
        derive_drop: Whether `drop` may be derived; a gate of which all steps are dropped is 1. By default it is
            excluded, like `none` in DARTS.
        inter_weights: The kind of weights of the gates, as in the notation.
        inter_learning_rate: Of the gates' architecture; `architecture_learning_rate` is that of the cell's.
        intra_epochs: Epochs of each phase of the cell. The paper alternates until convergence; one epoch for
            each phase agrees with the search cost that it states.
        inter_epochs: Epochs of each phase of the gates.
        intra: For `inter`, the given cell: the name of a DARTS genotype in the zoo, or its text. The genotype
            determines nodes and operations.
    """

    mode: Literal["intra", "inter", "joint"] = "joint"
    delay: Count = 3
    past_operations: tuple[str, ...] = (DROP, "identity", "sigmoid", "tanh", "relu")
    derive_drop: bool = False
    inter_weights: str = DENSE
    inter_learning_rate: Positive = 1e-3
    intra_epochs: Size = 1
    inter_epochs: Size = 1
    intra: str = "darts-v2"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.mode == "inter":
            self.given()
        return self

    def layout(self) -> Layout:
        """The layout of the supernet, with its gates.

        Raises:
            CellzooError: As in `Layout`.
        """
        plain = super().layout()
        if self.mode == "intra":
            return plain
        if self.delay < 1:
            raise CellzooError(
                f"delay is {self.delay}; gates read at least 1 past step (mode 'intra' has no gates)"
            )
        gated = replace(
            plain,
            delay=self.delay,
            past_operations=self.past_operations,
            inter_weights=self.inter_weights,
        )
        if self.mode == "joint":
            return gated
        edges = self.given().recurrent
        operations = tuple(dict.fromkeys(op for op, _ in edges))
        return replace(gated, nodes=len(edges), operations=operations, normalisation="none")

    def given(self) -> Genotype:
        """The given cell of the mode `inter`.

        Raises:
            CellzooError: There is no such cell, or its output is not the mean of all nodes.
        """
        text = self.intra
        if "(" not in text:
            found = cellzoo.entry(text)
            if found.notation != "darts":
                raise CellzooError(
                    f"intra: {text!r} is written in the notation {found.notation}; expected darts"
                )
            text = str(found.genotype)
        genotype = replace(darts.read_genotype(text), highway=self.highway)
        if any(op == NONE for op, _ in genotype.recurrent):
            raise CellzooError(
                "intra: the genotype has the operation 'none', which a supernet cannot represent"
            )
        if set(genotype.concat) != set(range(1, len(genotype.recurrent) + 1)):
            raise CellzooError("intra: the output must be the mean of all nodes, as in the supernet")
        return genotype

    def active(self, epoch: int) -> tuple[str, ...]:
        """The groups of the architecture that are trained in an epoch, from 0; a round starts with the cell."""
        if self.mode == "intra":
            return (CELL,)
        in_round = epoch % (self.intra_epochs + self.inter_epochs)
        return (CELL,) if self.mode == "joint" and in_round < self.intra_epochs else GATES


def build(settings: EssSettings, problem: Problem, generator: torch.Generator) -> GradientSearch:
    """Build the method; see `MethodKind.build`."""
    layout = settings.layout()
    given = settings.given() if settings.mode == "inter" else None
    relaxation = LocalSoftmax(
        layout,
        problem.layer,
        generator,
        given=None if given is None else cell_shares(layout, [[edge] for edge in given.recurrent]),
    )
    shared = share_weights(layout, relaxation, problem, settings, generator)
    rates = dict.fromkeys(GATES, settings.inter_learning_rate)

    def at_epoch(epoch: int, epochs: int) -> Numbers:
        active = settings.active(epoch)
        for group, alpha in relaxation.alphas.items():
            alpha.requires_grad_(group in active)
        rate = settings.architecture_learning_rate if CELL in active else settings.inter_learning_rate
        return {"architecture_learning_rate": rate}

    def found() -> Extended:
        intra = darts_search.derive(layout, relaxation.probabilities(CELL)) if given is None else given
        past = {
            group: derive_past(layout, relaxation.probabilities(group), settings.derive_drop)
            if layout.delay
            else ()
            for group in GATES
        }
        return Extended(
            intra.recurrent,
            intra.concat,
            past[PAST_INPUTS],
            past[PAST_STATES],
            settings.inter_weights,
            settings.highway,
        )

    return GradientSearch(
        shared,
        Bilevel(shared, relaxation, settings, rates=rates),
        derive=lambda: ess.parse(found()),
        notation="ess",
        at_epoch=at_epoch,
    )


def derive_past(layout: Layout, probabilities: Tensor, derive_drop: bool) -> tuple[str, ...]:
    """Keep the most probable operation of each past step; ties are resolved in favour of the first.

    Args:
        layout: Of the supernet.
        probabilities: Of each operation on each past step, (m, K).
        derive_drop: Whether `drop` may be kept.
    """
    kept = []
    for row in probabilities.tolist():
        choices = [
            pair for pair in zip(layout.past_operations, row, strict=True) if derive_drop or pair[0] != DROP
        ]
        kept.append(max(choices, key=lambda pair: pair[1])[0])
    return tuple(kept)


METHOD = MethodKind("ess", "a cell and gates on its past, alternately (Li et al. 2020)", EssSettings, build)

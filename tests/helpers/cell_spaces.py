"""Random cells of every space and notation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellzoo.notations import darts, egs, enas, ess, fenas, idarts, nas_bench_nlp
from search.spaces.darts import DartsSpace
from search.spaces.egs import EgsSpace
from search.spaces.enas import EnasSpace
from search.spaces.ess import EssSpace
from search.spaces.idarts import IDartsSpace

if TYPE_CHECKING:
    import random

    from cellzoo.cells.cell import Cell

_OPERATIONS = ("tanh", "selu", "identity")
_SEARCHED = (
    DartsSpace(4, _OPERATIONS, highway=False),
    EgsSpace(3, samples=2, normalize=False),
    EnasSpace(5, "enas_lm_tpu"),
    EssSpace(DartsSpace(2), delay=1, inter_weights="lowrank:2"),
    IDartsSpace(4, edges=2),
)


def _ess(generator: random.Random) -> Cell:
    weights = generator.choice(("dense", "shared", "lowrank:3", "diag"))
    return ess.parse(ess.sample(generator, generator.choice((1, 3)), generator.choice((1, 2, 5)), weights))


def _searched(generator: random.Random) -> Cell:
    space = generator.choice(_SEARCHED)
    return space.to_cell(space.sample(generator))


SPACES = {
    "darts": lambda generator: darts.parse(darts.sample(generator, generator.choice((1, 3, 8)))),
    "egs": lambda generator: egs.parse(
        egs.sample(generator, generator.choice((2, 4)), normalize=generator.random() < 0.5)
    ),
    "enas": lambda generator: enas.parse(
        enas.sample(generator, generator.choice((1, 4, 8)), generator.choice(sorted(enas.TABLES)))
    ),
    "ess": _ess,
    "fenas": lambda generator: fenas.parse(fenas.sample(generator)),
    "idarts": lambda generator: idarts.parse(
        idarts.sample(generator, 4, generator.choice((1, 2, 3)), generator.choice(("mean", "sum")))
    ),
    "nas-bench-nlp": lambda generator: nas_bench_nlp.parse(
        nas_bench_nlp.sample(generator, hidden_states=generator.choice((1, 2, 3)))
    ),
    "searched": _searched,
}
"""Name -> draws a cell."""

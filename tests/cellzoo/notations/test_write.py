"""What is written is read again as the same cell, or refused."""

from __future__ import annotations

import random

import pytest
from cell_spaces import SPACES

import cellzoo
from cellzoo.errors import NotationError
from cellzoo.notations import NOTATIONS, ess, parse, write
from cellzoo.notations.ess import Extended

EDGES = (("relu", 0),)


@pytest.mark.parametrize("notation", NOTATIONS)
def test_random_cells_come_back_or_are_refused(notation):
    generator = random.Random(5)
    cells = [draw(generator) for draw in SPACES.values() for _ in range(4)]
    cells += [cellzoo.load(name) for name in cellzoo.list_cells()[::6]]
    written = 0
    for cell in cells:
        try:
            text = write(cell, notation)
        except NotationError:
            continue
        written += 1
        assert parse(text, notation).hash == cell.hash
    assert written > 0


@pytest.mark.parametrize(
    "genotype",
    [
        Extended(EDGES, (1,), past_inputs=("tanh",) * 9),
        Extended(EDGES, (1,), past_states=("tanh",), inter_weights="lowrank:10000"),
        Extended(EDGES * 101, (1,)),
    ],
)
def test_an_ess_cell_beyond_what_is_read_is_refused(genotype):
    cell = ess.to_cell(genotype)
    for attempt in (ess.write, lambda cell: write(cell, "ess")):
        with pytest.raises(NotationError, match="cannot be written in this notation"):
            attempt(cell)

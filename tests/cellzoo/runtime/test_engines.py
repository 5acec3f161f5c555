"""Every engine gives what the reference gives: outputs, states, gradients."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import product

import pytest
import torch
from cell_spaces import SPACES
from cell_strategies import cells
from engine_cases import TOLERANCES, Case, hold, random_case
from hypothesis import given, settings
from hypothesis import strategies as st

import cellzoo

QUICK, MANY = 6, 500
SLOWLY = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.mark.parametrize("name", cellzoo.list_cells())
def test_the_zoo(name):
    hold(cellzoo.load(name), random_case(random.Random(name)))


@pytest.mark.slow
@pytest.mark.parametrize("name", cellzoo.list_cells())
def test_the_zoo_in_every_way(name):
    """Both precisions, directions, and every choice of masks, with all else drawn."""
    cell, generator = cellzoo.load(name), random.Random(name)
    for number, dtype in product(range(8), TOLERANCES):
        ways = {"reverse": bool(number & 1), "masked_x": bool(number & 2), "masked_h": bool(number & 4)}
        # Exponential gates of drawn states lead to quotients by almost 0.
        hold(cell, random_case(generator, dtype=dtype, **ways), rounding=True)


@pytest.mark.parametrize("count", [QUICK, pytest.param(MANY, marks=SLOWLY)])
@pytest.mark.parametrize("space", SPACES)
def test_random_cells_of_every_space(space, count):
    generator = random.Random(f"{space} {count}")
    for _ in range(count):
        hold(SPACES[space](generator), random_case(generator), rounding=True)


def check_any_cell(cell, seed):
    hold(cell, random_case(random.Random(seed)), rounding=True)


def test_any_cell():
    settings(max_examples=25, deadline=None, derandomize=True)(
        given(cells(), st.integers(0, 10**9))(check_any_cell)
    )()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_many_cells_of_any_kind():
    many = settings(max_examples=MANY, deadline=None, derandomize=True)
    many(given(cells(max_nodes=14), st.integers(0, 10**9))(check_any_cell))()


SHAPES = {
    "one of everything": Case(1, 1, (1,)),
    "one unit": Case(3, 1, (3, 2, 2)),
    "one row": Case(4, 6, (1, 1, 1, 1)),
    "one row of several vectors and a rest": Case(70, 131, (1,) * 12, masked_x=True, masked_h=True),
    "few rows of several vectors and a rest": Case(70, 131, (3, 2, 2)),
    "one step": Case(4, 6, (5,)),
    "a vector": Case(16, 16, (16, 16)),
    "one more than a vector": Case(17, 17, (17, 16, 1)),
    "several vectors and a rest": Case(70, 131, (9, 8, 8, 3)),
    "many rows": Case(3, 5, (150, 149, 40)),
    "many steps of many rows": Case(2, 3, (200,) * 9),
    "a batch that shrinks to one": Case(2, 3, (300, 299, 298, 1, 1, 1)),
}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["lstm", "darts-v2"])
def test_shapes(name, shape, reverse):
    for dtype in TOLERANCES:
        hold(cellzoo.load(name), replace(SHAPES[shape], reverse=reverse, dtype=dtype))


LONG = Case(9, 12, (4,) * 120 + (3,) * 50 + (1,) * 30, masked_x=True, masked_h=True)


@pytest.mark.parametrize("name", ["lstm", "darts-v2", "nbnlp-7537"])
def test_long_sequences(name):
    hold(cellzoo.load(name), LONG, tolerance=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", cellzoo.list_cells())
def test_long_sequences_of_the_zoo(name):
    cell = cellzoo.load(name)
    hold(cell, LONG, tolerance=1e-9, rounding=True)
    hold(cell, replace(LONG, dtype=torch.float32, reverse=True), rounding=True)


def test_a_batch_without_rows():
    """As after a filter that leaves nothing: the gradients of the weights are zero."""
    hold(cellzoo.load("lstm"), Case(3, 4, (0, 0)))

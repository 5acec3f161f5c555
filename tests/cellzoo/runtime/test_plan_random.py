"""Plans of any cell, run literally: numbers, memory that shares places, and owners that wait for each other."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
from cell_spaces import SPACES
from cell_strategies import cells
from engine_cases import Case, assert_results, draw, fitting, random_case, results
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_interpreter import Interpreter

import cellzoo
from cellzoo.runtime.lowering import Lowering
from cellzoo.runtime.plan import build_plan
from cellzoo.runtime.program import BufferKind
from cellzoo.runtime.reference import ReferenceRuntime

SIZES = (1, 2, 3, 6)


def small_case(generator):
    """Few units: a plan is the same for all sizes."""
    return random_case(
        generator,
        input_size=generator.choice(SIZES),
        hidden_size=generator.choice(SIZES),
        dtype=torch.float64,
        state_gradient=True,
        frozen=0,
    )


def plan_of(cell, case, **options):
    return build_plan(cell, masked_x=case.masked_x, masked_h=case.masked_h, **options)


def full_weights(cell, case, tensors):
    """What a plan multiplies by: full matrices, and those of averages."""
    given = Lowering(cell)(tensors.weights, like=tensors.inputs, hidden_size=case.hidden_size)
    return {name: weight.detach() for name, weight in given.items()}


def own_gradients(cell, tensors, found):
    """The gradients of the cell's own weights, from those of full matrices."""
    heads = {weight: node.heads for node in cell.live_nodes for weight in node.weights}
    own = {}
    for name, value in found.items():
        weight = name.removeprefix("gradient of weight ")
        if weight == name or heads.get(weight, 1) == 1:
            if weight == name or weight in tensors.weights:
                own[name] = value
            continue
        rows, columns = (size // heads[weight] for size in value.shape)
        blocks = zip(value.split(rows), range(0, value.size(1), columns), strict=True)
        own[name] = torch.cat([part[:, first : first + columns] for part, first in blocks])
    return own


def check(cell, case, *, rounding=True):
    """Training and inference give what the reference gives."""
    case = fitting(cell, case)
    tensors = draw(cell, case)
    expected = results(ReferenceRuntime(cell), case, tensors, torch.float64)
    plan = plan_of(cell, case, input_gradient=case.input_gradient)
    full = replace(tensors, weights=full_weights(cell, case, tensors))
    found = own_gradients(cell, tensors, Interpreter(plan, case, full).run())
    if not case.input_gradient:
        found.pop("gradient of x")
    inferred = Interpreter(plan_of(cell, case, training=False), case, full).run()
    found |= {f"inferred {name}": value for name, value in inferred.items()}
    assert_results(found, cell, case, tensors, expected, tolerance=1e-12, rounding=rounding)


@pytest.mark.parametrize("name", cellzoo.list_cells())
def test_the_zoo(name):
    check(cellzoo.load(name), small_case(random.Random(name)), rounding=False)


@pytest.mark.parametrize("count", [8, pytest.param(150, marks=pytest.mark.slow)])
@pytest.mark.parametrize("space", SPACES)
def test_random_cells_of_every_space(space, count):
    generator = random.Random(f"plans of {space} {count}")
    for _ in range(count):
        check(SPACES[space](generator), small_case(generator))


def check_any_cell(cell, seed):
    check(cell, small_case(random.Random(seed)))


def test_any_cell():
    few = settings(max_examples=60, deadline=None, derandomize=True)
    few(given(cells(), st.integers(0, 10**9))(check_any_cell))()


@pytest.mark.slow
def test_a_thousand_cells_of_any_kind():
    many = settings(max_examples=1000, deadline=None, derandomize=True)
    many(given(cells(max_nodes=16), st.integers(0, 10**9))(check_any_cell))()


CASE = Case(2, 3, (3, 2, 2))


def test_a_missing_barrier_is_noticed():
    """The watch on owners can fail: without its later barriers the plan of a deep cell is refused."""
    cell = cellzoo.load("darts-v2")
    tensors = draw(cell, CASE)
    plan = build_plan(cell)
    Interpreter(plan, CASE, tensors).run()
    for phase in ("forward_step", "backward_step"):
        first, *rest = getattr(plan, phase)
        broken = replace(plan, **{phase: (first, *(replace(kernel, barrier=False) for kernel in rest))})
        with pytest.raises(AssertionError, match="not every owner may have written"):
            Interpreter(broken, CASE, tensors).run()


def test_memory_shared_too_early_is_noticed():
    """So can the comparison: two values in one place give other numbers."""
    cell = cellzoo.load("lstm")
    tensors = draw(cell, CASE)
    expected = results(ReferenceRuntime(cell), CASE, tensors, torch.float64)
    plan = build_plan(cell)
    kept = [number for number, buffer in enumerate(plan.buffers) if buffer.kind is BufferKind.ALL]
    for lost in kept[1:]:
        views = tuple(replace(view, buffer=kept[0]) if view.buffer == lost else view for view in plan.views)
        found = Interpreter(replace(plan, views=views), CASE, tensors).run()
        with pytest.raises(AssertionError):
            assert_results(found, cell, CASE, tensors, {name: expected[name] for name in found})

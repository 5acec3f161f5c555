"""Which cells are scans, by the graph and by numbers; and the engine that runs them without a loop."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from engine_cases import Case, assert_agrees, draw, fitting, random_case, results
from scipy.sparse.csgraph import connected_components

import cellzoo
from cellzoo.runtime import prepare
from cellzoo.runtime.graph import cell_graph
from cellzoo.runtime.linear_recurrence import Rows
from cellzoo.runtime.recurrence import Kind, can_scan, components, describe
from cellzoo.runtime.reference import ReferenceRuntime

SCANS = [name for name in cellzoo.list_cells() if can_scan(cellzoo.load(name))]
POINTS, UNITS = 12, 3


def jacobians(cell):
    """Derivatives of next states by states at some points, and of each by itself with it alone moved.

    The first are (points, units, units) for each state and each other one, the second for each state.
    """
    units = UNITS * cell.heads
    runtime, generator = ReferenceRuntime(cell), torch.Generator().manual_seed(5)
    weights = draw(cell, Case(units, units, (1,))).weights

    def normal():
        return torch.randn(POINTS, 1, units, generator=generator, dtype=torch.float64)

    x, states, moved = normal(), [normal() for _ in cell.states], [normal() for _ in cell.states]
    numbers = tuple(range(1, len(states) + 1))

    def step(x, *states):
        return runtime(x, (1,), states, weights)[1]

    def differentiate(states):
        found = torch.func.vmap(torch.func.jacrev(step, numbers))(x, *states)
        return [[block[:, 0, :, 0, :] for block in blocks] for blocks in found]

    own = [
        differentiate([*states[:index], moved[index], *states[index + 1 :]])[index][index]
        for index in range(len(states))
    ]
    return differentiate(states), own


def kinds_by_numbers(cell):
    """Set of states -> its kind."""
    first, own = jacobians(cell)
    count = len(cell.states)
    reads = np.array([[bool(first[one][other].any()) for other in range(count)] for one in range(count)])
    _, labels = connected_components(reads, directed=True, connection="strong")
    found = {}
    for label in set(labels):
        members = [index for index in range(count) if labels[index] == label]
        blocks = [first[one][other] for one in members for other in members]
        if len(members) == 1 and not blocks[0].any():
            kind = Kind.DELAYED
        elif any((block - block.diagonal(dim1=1, dim2=2).diag_embed()).any() for block in blocks):
            kind = Kind.MATRIX
        elif len(members) == 1 and torch.allclose(blocks[0], own[members[0]], rtol=1e-9, atol=1e-12):
            kind = Kind.AFFINE
        else:
            kind = Kind.ELEMENTWISE
        found[frozenset(cell.states[index].name for index in members)] = kind
    return found


@pytest.mark.parametrize("name", cellzoo.list_cells())
def test_the_kinds_of_the_zoo_are_those_of_its_jacobians(name):
    cell = cellzoo.load(name)
    proved = {frozenset(component.states): component.kind for component in components(cell_graph(cell))}
    assert proved == kinds_by_numbers(cell)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("h' = sigmoid(linear(x)) * (h - 2) / (1 + exp(linear(x)))", Kind.AFFINE),
        ("h' = h * h + linear(x)", Kind.ELEMENTWISE),
        ("h' = linear(x) / (2 + h * h)", Kind.ELEMENTWISE),
        ("h' = maximum(h, linear(x))", Kind.ELEMENTWISE),
        ("h' = linear(x) + average(h)", Kind.MATRIX),
        ("h' = tanh(linear(x, h))", Kind.MATRIX),
    ],
)
def test_kinds_of_equations(text, kind):
    cell = cellzoo.parse(text, "equations")
    assert [component.kind for component in components(cell_graph(cell))] == [kind]
    assert set(kinds_by_numbers(cell).values()) == {kind}


def test_says_which_cells_are_scans():
    assert {"sru", "lstm", "gru", "darts-v2"}.isdisjoint(SCANS)
    assert {"mingru", "minlstm", "qrnn", "t-rnn", "hgrn", "rg-lru"} <= set(SCANS)
    assert describe(cellzoo.load("qrnn")) == "a scan: x1 known at once; c affine"
    assert describe(cellzoo.load("indrnn")) == "no product at a step: h elementwise"


@pytest.mark.parametrize("name", SCANS)
def test_gives_what_the_reference_gives(name):
    cell, generator = cellzoo.load(name), random.Random(name)
    for _ in range(8):
        case = fitting(cell, random_case(generator))
        tensors = draw(cell, case)
        expected = results(ReferenceRuntime(cell), case, tensors, torch.float64)
        assert_agrees(prepare("scan", cell), cell, case, tensors, expected)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("batch_sizes", [(3,) * 37, (5, 5, 4, 4, 4, 1, 1), (1,), (700,) * 5 + (3,)])
def test_walk_and_scan_are_one_recurrence(batch_sizes, reverse):
    generator = torch.Generator().manual_seed(3)

    def normal(rows):
        return torch.randn(rows, 4, generator=generator, dtype=torch.float64)

    a, b, initial = normal(sum(batch_sizes)), normal(sum(batch_sizes)), normal(batch_sizes[0])
    a[::3] = 0
    rows = Rows(batch_sizes, a.device, reverse=reverse)
    torch.testing.assert_close(rows.scan(a, b, initial), rows.loop(a, b, initial), rtol=1e-10, atol=1e-10)
    before = rows.before(rows.loop(a, b, initial), initial)
    torch.testing.assert_close(a * before + b, rows.loop(a, b, initial), rtol=1e-12, atol=1e-12)


def test_factors_that_vanish_do_not_divide():
    a = torch.full((500, 2), 1e-30)
    b = torch.ones(500, 2)
    rows = Rows((1,) * 500, a.device, reverse=False)
    torch.testing.assert_close(rows.scan(a, b, torch.zeros(1, 2)), b)


def test_gradients_of_gradients():
    rnn = cellzoo.rnn("minlstm", 2, 3, dtype=torch.float64, runtime="scan")
    x = torch.randn(4, 1, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert torch.autograd.gradgradcheck(lambda part: rnn(part)[0], x.requires_grad_())


@pytest.mark.cuda
@pytest.mark.parametrize("name", SCANS)
def test_scans_on_a_device(name):
    cell = cellzoo.load(name)
    rnn = cellzoo.rnn(cell, 8, 8, dtype=torch.float64, runtime="scan")
    x = torch.randn(33, 3, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = rnn(x)[0]
    torch.testing.assert_close(rnn.cuda()(x.cuda())[0].cpu(), expected, rtol=1e-10, atol=1e-10)

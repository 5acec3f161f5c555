"""The engine that interprets plans in plain torch, against the reference, on cells of the zoo and others."""

from __future__ import annotations

import copy
import pickle
import random

import pytest
import torch
from cell_strategies import cells
from engine_cases import Case, assert_agrees, draw, fitting, random_case, results
from hypothesis import given, settings
from hypothesis import strategies as st

import cellzoo
from cellzoo.runtime.reference import ReferenceRuntime
from cellzoo.runtime.torch_engine import TorchRuntime


def check(cell, case, **options):
    case = fitting(cell, case)
    tensors = draw(cell, case)
    expected = results(ReferenceRuntime(cell), case, tensors, torch.float64)
    assert_agrees(TorchRuntime(cell), cell, case, tensors, expected, **options)


@pytest.mark.parametrize("name", cellzoo.list_cells())
def test_zoo(name):
    """A shape, direction, masks and gradients drawn for each cell."""
    check(cellzoo.load(name), random_case(random.Random(name)))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(cells(), st.randoms(use_true_random=False))
def test_any_cell(cell, generator):
    check(cell, random_case(generator), rounding=True)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    "batch_sizes", [(1,), (1, 1), (5,), (3, 1), (4, 4, 4), (6, 2, 1, 1), (3, 3, 2, 2, 2, 1)], ids=str
)
@pytest.mark.parametrize("name", ["lstm", "darts-v2"])
def test_shapes(name, batch_sizes, reverse, dtype):
    case = Case(batch_sizes=batch_sizes, reverse=reverse, masked_x=True, masked_h=True, dtype=dtype)
    check(cellzoo.load(name), case)


@pytest.mark.parametrize("reverse", [False, True])
def test_more_rows_than_a_chunk_of_an_input_phase(reverse):
    """Masks and sums over rows go on across chunks of 1024 rows."""
    sizes = (700, 700, 601, 600, 3)
    case = Case(3, 4, sizes, reverse=reverse, masked_x=True, masked_h=True)
    check(cellzoo.load("lstm"), case)


@pytest.mark.parametrize("size", [1, 2])
def test_one_unit(size):
    check(cellzoo.load("darts-v2"), Case(size, 1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["lstm", "darts-v2", "enas"])
def test_half_precision(name, dtype):
    """As near to float64 as the reference itself is in half precision, but for a factor."""
    cell = cellzoo.load(name)
    case = Case(6, 6, (4, 3, 2), masked_h=True, dtype=dtype)
    tensors = draw(cell, case)
    exact = results(ReferenceRuntime(cell), case, tensors, torch.float64)
    theirs = results(ReferenceRuntime(cell), case, tensors, dtype)
    for key, value in results(TorchRuntime(cell), case, tensors, dtype).items():
        scale = max(1.0, exact[key].abs().max().item())
        allowed = 2 * (theirs[key].double() - exact[key]).abs().max().item()
        error = (value.double() - exact[key]).abs().max().item()
        assert error <= allowed + 2 * torch.finfo(dtype).eps * scale, (key, error, allowed)


@pytest.mark.parametrize("reverse", [False, True])
def test_no_sequences_at_all(reverse):
    cell = cellzoo.load("lstm")
    case = Case(batch_sizes=(0, 0), reverse=reverse, masked_x=True)
    tensors = draw(cell, case)
    expected = results(ReferenceRuntime(cell), case, tensors, torch.float64)
    found = results(TorchRuntime(cell), case, tensors, torch.float64)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_device_without_data_or_autocast():
    rnn = cellzoo.rnn("darts-v2", 3, 4, bidirectional=True, runtime="torch", device="meta")
    x = torch.zeros(5, 2, 3, device="meta", requires_grad=True)
    output, final = rnn(x)
    (gradient,) = torch.autograd.grad(output.sum(), x)
    assert (output.shape, final.shape, gradient.shape) == ((5, 2, 8), (2, 2, 4), x.shape)
    assert {output.device.type, gradient.device.type} == {"meta"}


def test_copies_and_pickles_prepare_themselves_anew():
    cell = cellzoo.load("gru")
    runtime, case = TorchRuntime(cell), Case()
    tensors = draw(cell, case)
    expected = results(runtime, case, tensors, torch.float64)
    for other in (copy.deepcopy(runtime), pickle.loads(pickle.dumps(runtime))):  # noqa: S301
        found = results(other, case, tensors, torch.float64)
        assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_rows_do_not_see_each_other():
    """Not even one that holds NaN, in a packed batch."""
    cell = cellzoo.load("enas")
    case = Case(batch_sizes=(3, 3, 2))
    tensors = draw(cell, case)
    clean = results(TorchRuntime(cell), case, tensors, torch.float64)["outputs"]
    tensors.inputs[0] = torch.nan
    spoilt = results(TorchRuntime(cell), case, tensors, torch.float64)["outputs"]
    assert spoilt[[0, 3, 6]].isnan().any(dim=1).all()
    assert torch.equal(spoilt[[1, 2, 4, 5, 7]], clean[[1, 2, 4, 5, 7]])


@pytest.mark.parametrize("name", ["lstm", "darts-v2"])
def test_strided_and_expanded_tensors(name):
    """Columns of a wider tensor as inputs, one state for all rows, and an expanded gradient."""
    cell = cellzoo.load(name)
    case = Case(5, 7, (4, 4))
    tensors = draw(cell, case)
    wide = torch.randn(8, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    found = []
    for runtime in (TorchRuntime(cell), ReferenceRuntime(cell)):
        inputs = wide[:, 3:8].requires_grad_()
        states = [state[:1].expand(4, 7) for state in tensors.states.values()]
        output, _ = runtime(inputs, case.batch_sizes, states, tensors.weights)
        found.append((output, *torch.autograd.grad(output.sum(), inputs)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_while_torch_traces_the_call_is_made_of_plain_operations():
    """The memory that the engine reuses would be a constant of the trace."""
    rnn = cellzoo.rnn("gru", 3, 4, runtime="torch", dtype=torch.float64)
    x = torch.randn(5, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    exported = torch.export.export(rnn, (x,), strict=False).module()
    torch.testing.assert_close(exported(x + 1)[0], rnn(x + 1)[0], rtol=1e-12, atol=1e-12)

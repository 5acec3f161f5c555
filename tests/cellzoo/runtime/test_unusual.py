"""Uses of a layer that come from elsewhere in torch: tracing, checkpoints, views, batches of gradients."""

from __future__ import annotations

import pytest
import torch
from engine_cases import ENGINES, Case, call, draw
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

import cellzoo
from cellzoo.cells.cell import Cell
from cellzoo.cells.graph import Node, State, linear
from cellzoo.errors import CellzooError
from cellzoo.runtime.native import binding, workspace
from cellzoo.runtime.native.call import pool
from cellzoo.runtime.reference import ReferenceRuntime

needs_native = pytest.mark.skipif(not binding.is_available(), reason=binding.status()[1])
DOUBLE = torch.float64


def layer(runtime="auto"):
    rnn = cellzoo.rnn("darts-v2", 3, 4, dtype=DOUBLE, runtime=runtime)
    rnn.reset_parameters(torch.Generator().manual_seed(1))
    return rnn


def numbers(*shape, seed=2):
    return torch.randn(*shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


def test_a_traced_graph_depends_on_its_input():
    rnn, x = layer(), numbers(5, 2, 3)
    traced = make_fx(lambda x: rnn(x)[0].detach())(x)
    other = numbers(5, 2, 3, seed=3)
    torch.testing.assert_close(traced(other), rnn(other)[0].detach(), rtol=1e-12, atol=1e-12)


def test_tensors_without_data_have_shapes():
    rnn = layer()
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fake = mode.from_tensor(torch.zeros(5, 2, 3, dtype=DOUBLE))
        assert rnn(fake)[0].shape == (5, 2, 4)
    assert rnn(fake)[0].shape == (5, 2, 4)


def test_what_counts_operations_sees_them():
    with FlopCounterMode(display=False) as counter:
        layer()(numbers(5, 2, 3))
    # W_0 is (3 + 4, 8) and the eight others are (4, 8); two operations each, for ten rows.
    assert counter.get_total_flops() == 2 * 10 * (7 * 8 + 8 * 4 * 8)


@needs_native
def test_what_the_library_refuses_runs_by_torch(monkeypatch):
    rnn, x = layer(), numbers(5, 2, 3)
    expected = rnn(x)[0]

    def refused(code):
        raise binding.PlanError("the native engine: the plan is beyond its limits")

    monkeypatch.setattr("cellzoo.runtime.native.call.check", refused)
    with pytest.warns(RuntimeWarning, match="beyond its limits; the engine 'torch' runs this call"):
        torch.testing.assert_close(rnn(x)[0], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("of", ["constant", "h", "other"])
def test_names_of_nodes_do_not_meet_those_of_the_plan(engine, of):
    cell = Cell(
        (State("h", "output"), State("other", "h")),
        (
            linear("a", "x", "h"),
            Node("output", "tanh", ("a",)),
            Node("constant", "one", width="hidden"),
            Node("y", "identity", (of,)),
        ),
        "y",
    )
    case = Case(4, 4)
    tensors = draw(cell, case)
    found, expected = (call(runtime(cell), case, tensors) for runtime in (ENGINES[engine], ReferenceRuntime))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("runtime", ["auto", "torch"])
def test_first_derivatives_are_there_with_create_graph_and_second_ones_name_the_engine(runtime):
    rnn, x = layer(runtime), numbers(5, 2, 3).requires_grad_()
    (expected,) = torch.autograd.grad(layer("reference")(x)[0].square().sum(), x)
    (gradient,) = torch.autograd.grad(rnn(x)[0].square().sum(), x, create_graph=True)
    torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-12)
    with pytest.raises(CellzooError, match=r'first derivatives only; .*runtime="reference"'):
        torch.autograd.grad(gradient.sum(), x)


@pytest.mark.parametrize("runtime", ["auto", "torch"])
def test_a_batch_of_gradients_is_refused_with_advice(runtime):
    x = numbers(5, 2, 3).requires_grad_()
    output = layer(runtime)(x)[0]
    with pytest.raises(CellzooError, match=r'at a time; .*runtime="reference"'):
        torch.autograd.grad(output, x, torch.ones(2, *output.shape, dtype=DOUBLE), is_grads_batched=True)


@pytest.mark.parametrize("runtime", ["auto", "torch"])
def test_tensors_whose_memory_says_something_else(runtime):
    rnn, x = layer(runtime), numbers(5, 2, 3)
    torch.testing.assert_close(rnn(torch._neg_view(-x))[0], rnn(x)[0], rtol=1e-12, atol=1e-12)
    zero = torch._efficientzerotensor((5, 2, 3), dtype=DOUBLE)
    torch.testing.assert_close(rnn(zero)[0], rnn(torch.zeros_like(x))[0], rtol=1e-12, atol=1e-12)
    x.requires_grad_()
    output = rnn(x)[0]
    toward = numbers(5, 2, 4, seed=4)
    found = [
        torch.autograd.grad(output, x, gradient, retain_graph=True)[0]
        for gradient in (toward, torch._neg_view(-toward))
    ]
    torch.testing.assert_close(*found, rtol=1e-12, atol=1e-12)


@needs_native
def test_a_checkpoint_keeps_nothing_and_gives_the_same_gradients(monkeypatch):
    rnn, x = layer("native"), numbers(5, 2, 3).requires_grad_()
    expected = torch.autograd.grad(rnn(x)[0].square().sum(), [x, *rnn.parameters()])
    fresh = workspace.Pool()
    monkeypatch.setattr("cellzoo.runtime.native.call.pool", lambda: fresh)
    output = checkpoint(lambda x: rnn(x)[0], x, use_reentrant=False)
    assert fresh.used_bytes == 0
    found = torch.autograd.grad(output.square().sum(), [x, *rnn.parameters()])
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@needs_native
def test_longer_and_longer_batches_leave_no_trail_of_idle_memory():
    rnn = cellzoo.rnn("lstm", 64, 128, runtime="native")
    pool().release()
    for steps in range(20, 220, 10):
        rnn(torch.zeros(steps, 16, 64))[0].sum().backward()
    trail = pool().idle_bytes
    pool().release()
    rnn(torch.zeros(210, 16, 64))[0].sum().backward()
    alone = pool().idle_bytes
    pool().release()
    assert 0 < alone <= trail <= 2.5 * alone

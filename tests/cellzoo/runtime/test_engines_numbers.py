"""NaN, infinity, and numbers at the ends of the range go through every engine as through torch."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
import torch
from engine_cases import ENGINES, TOLERANCES, Case, call, draw, results

import cellzoo
from cellzoo.cells.cell import Cell
from cellzoo.cells.graph import Node, State
from cellzoo.cells.ops import PRIMITIVES
from cellzoo.runtime.reference import ReferenceRuntime

NAN, INF = float("nan"), float("inf")
SPECIAL = (NAN, INF, -INF, 0.0, -0.0, 1.0, -1.0, 0.5, -10.0, 60.0, 1e-15, -1e15)
OPS = [name for name, primitive in PRIMITIVES.items() if primitive.forward and name != "recast"]


def cell_of(op, arity):
    """A cell that applies op to its states, so that numbers reach it as they are given; one more reads x."""
    states = tuple(f"s{index}" for index in range(arity))
    nodes = (Node("n", op, states), Node("y", "linear", ("x",), ("w",)))
    return Cell((*(State(name, "n") for name in states), State("of_x", "y")), nodes, "n")


def operands(op):
    arity = PRIMITIVES[op].arity or 2
    return cell_of(op, arity), torch.tensor(list(product(SPECIAL, repeat=arity)), dtype=torch.float64)


def everywhere(runtime, cell, rows, dtype, gradient):
    """op of every row of operands, and the gradients of the operands, one row for each."""
    states = [column.unsqueeze(1).to(dtype).requires_grad_() for column in rows.unbind(1)]
    x = torch.zeros(len(rows), 1, dtype=dtype)
    outputs, _ = runtime(x, (len(rows),), [*states, x], {"w": torch.zeros(1, 1, dtype=dtype)})
    given = torch.full_like(outputs, gradient)
    found = torch.autograd.grad(outputs, states, given, allow_unused=True, materialize_grads=True)
    return torch.cat([outputs.detach(), *found], dim=1)


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("engine", ENGINES)
def test_each_operation(engine, op, dtype):
    cell, rows = operands(op)
    if op == "selu":
        # torch's derivative at NaN is NaN in a vector, and 1.05 in the rest that fills none.
        rows = rows[~rows.isnan()].unsqueeze(1)
    for gradient in (1.0, -2.5, INF, NAN):
        found = everywhere(ENGINES[engine](cell), cell, rows, dtype, gradient)
        expected = everywhere(ReferenceRuntime(cell), cell, rows, dtype, gradient)
        if op == "blend" and gradient == INF:
            # The gradient of b is g - g z here and g (1 - z) in torch: of an infinite g the first is NaN.
            found, expected = found[:, :-1], expected[:, :-1]
        tolerance = 1e-14 if dtype == torch.float64 else 5e-7
        torch.testing.assert_close(
            found,
            expected,
            rtol=tolerance,
            atol=tolerance,
            equal_nan=True,
            msg=lambda text, gradient=gradient: f"{op}, gradient {gradient}: {text}",
        )


@pytest.mark.parametrize("engine", ENGINES)
def test_selu_of_nan(engine):
    cell = cell_of("selu", 1)
    rows = torch.full((64, 1), NAN, dtype=torch.float64)
    assert everywhere(ENGINES[engine](cell), cell, rows, torch.float64, 1.0).isnan().all()


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("engine", ENGINES)
def test_a_gate_of_one_gives_the_first_value_exactly(engine, dtype):
    """However large the other is, in whole vectors and in the rest; a gate of zero gives the other."""
    cell = cell_of("blend", 3)
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(3, 37, generator=generator, dtype=dtype)
    b = 1e17 * torch.randn(3, 37, generator=generator, dtype=dtype)
    x, weights = torch.zeros(3, 1, dtype=dtype), {"w": torch.zeros(37, 1, dtype=dtype)}
    for gate, expected in ((1.0, a), (0.0, b)):
        states = [torch.full_like(a, gate), a, b, torch.zeros_like(a)]
        outputs, _ = ENGINES[engine](cell)(x, (3,), states, weights)
        assert torch.equal(outputs, expected)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["tanh", "sigmoid", "selu", "relu", "leaky_relu"])
def test_functions_over_the_whole_range(engine, name):
    """Within a few last digits of torch, relative to the result, where float64 is the truth for float32."""
    cell = cell_of(name, 1)
    exponents = torch.linspace(-40, 10, 4001, dtype=torch.float64)
    points = torch.cat([2**exponents, -(2**exponents), torch.linspace(-20, 20, 4001, dtype=torch.float64)])
    for dtype in TOLERANCES:
        rows = points.to(dtype).double().unsqueeze(1)
        found = everywhere(ENGINES[engine](cell), cell, rows, dtype, 1.0)[:, 0].double()
        expected = everywhere(ReferenceRuntime(cell), cell, rows, torch.float64, 1.0)[:, 0]
        steps = torch.finfo(dtype).eps * expected.abs() + torch.finfo(dtype).tiny
        assert ((found - expected).abs() / steps).max() < 8


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("name", ["rnn", "lstm", "gru", "darts-v2", "nbnlp-2608", "ran"])
@pytest.mark.parametrize("engine", ENGINES)
def test_one_bad_number_spoils_what_it_spoils_in_torch(engine, name, value):
    """In x, in a state, in a weight; never in another row or unit by way of what fills up a vector."""
    cell, case = cellzoo.load(name), Case(5, 11, (5, 4, 4, 2))
    plain = draw(cell, case)
    state, weight = next(iter(plain.states)), next(iter(plain.weights))
    spoilt = [replace(plain, inputs=plain.inputs.clone()) for _ in range(2)]
    spoilt[0].inputs[6, 2] = value
    spoilt[1].inputs[0] = value
    spoilt.append(replace(plain, states=plain.states | {state: plain.states[state].clone()}))
    spoilt[2].states[state][1, 10] = value
    spoilt.append(replace(plain, weights=plain.weights | {weight: plain.weights[weight].clone()}))
    spoilt[3].weights[weight][3, 1] = value
    # Not an infinite gradient of a blend: see test_each_operation.
    if name != "gru" or abs(value) != INF:
        outputs = plain.gradients["outputs"].clone()
        outputs[2, 4] = value
        spoilt.append(replace(plain, gradients=plain.gradients | {"outputs": outputs}))
    for tensors in spoilt:
        expected = results(ReferenceRuntime(cell), case, tensors, torch.float64)
        found = results(ENGINES[engine](cell), case, tensors, torch.float64)
        assert any(not tensor.isfinite().all() for tensor in expected.values())
        for key, tensor in expected.items():
            torch.testing.assert_close(found[key], tensor, rtol=1e-12, atol=1e-12, equal_nan=True)


@pytest.mark.parametrize("engine", ENGINES)
def test_nan_under_a_mask_is_nan(engine):
    """0 * NaN, as torch has it."""
    cell, case = cellzoo.load("lstm"), Case(4, 6, (3, 2), masked_x=True, masked_h=True)
    tensors = draw(cell, case)
    tensors.mask_x[1, 2] = 0.0
    tensors.inputs[1, 2] = NAN
    given = call(ENGINES[engine](cell), case, tensors)["outputs"]
    expected = call(ReferenceRuntime(cell), case, tensors)["outputs"]
    assert torch.equal(given.isnan(), expected.isnan())
    assert given[1].isnan().all()

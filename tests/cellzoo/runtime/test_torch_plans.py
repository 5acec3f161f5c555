"""Plans that no cell has: written by hand, and with the operations of supernets."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch.nn import functional as F

from cellzoo.runtime.graph import NORM, GraphBuilder, Value
from cellzoo.runtime.plan import plan_graph
from cellzoo.runtime.program import (
    Buffer,
    BufferKind,
    Dot,
    Init,
    Instruction,
    Kernel,
    Op,
    Plan,
    Product,
    View,
    ViewKind,
    WeightGradient,
)
from cellzoo.runtime.torch_engine import TorchPlans

E, H, B, T = 3, 4, 5, 6


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def hand_written_rnn():
    """h' = tanh(W x + b + U h), which is torch.nn.RNN."""
    x, before, after, value, given, left = range(6)
    buffers = (
        Buffer(BufferKind.INPUT, "input"),
        Buffer(BufferKind.STATE, "hidden"),
        Buffer(BufferKind.ALL, "hidden"),
        Buffer(BufferKind.CARRY, "hidden"),
    )
    views = (
        View(ViewKind.ROWS, 0),
        View(ViewKind.STATE_IN, 1),
        View(ViewKind.STATE_OUT, 1),
        View(ViewKind.ROWS, 2),
        View(ViewKind.CARRY_IN, 3),
        View(ViewKind.CARRY_OUT, 3),
    )
    w, u, b = range(3)

    def product(source, weight, init, index=0, *, transposed=False):
        return (Dot(source, (Product(0, weight, transposed, init, index),)),)

    def kernel(dots, *program, width="hidden"):
        return Kernel(width, "", True, 1, dots, program)

    return Plan(
        states=("hidden",),
        output_width="hidden",
        buffers=buffers,
        views=views,
        weights=("W", "U", "b"),
        weight_widths=(("hidden", "input"), ("hidden", "hidden"), ("hidden",)),
        num_parameters=0,
        constants=(),
        forward_input=(kernel(product(x, w, Init.VECTOR, b), Instruction(Op.COPY, -1 - value, 0)),),
        forward_step=(
            kernel(
                product(before, u, Init.VIEW, value),
                Instruction(Op.TANH, -1 - value, 0),
                Instruction(Op.COPY, -1 - after, -1 - value),
                Instruction(Op.STORE_ROWS, a=-1 - value),
            ),
        ),
        backward_step=(
            kernel(
                (),
                Instruction(Op.LOAD_ROWS, 0),
                Instruction(Op.ADD, 0, 0, -1 - given),
                Instruction(Op.TANH_BACKWARD, -1 - value, 0, -1 - value),
                Instruction(Op.REDUCE_ROWS, a=-1 - value, immediate=b),
            ),
            kernel(
                product(value, u, Init.ZERO, transposed=True),
                Instruction(Op.COPY, -1 - left, 0),
            ),
        ),
        backward_input=(
            kernel(
                product(value, w, Init.ZERO, transposed=True),
                Instruction(Op.STORE_ROWS, a=0, immediate=1),
                width="input",
            ),
        ),
        weight_gradients=(WeightGradient(w, value, x), WeightGradient(u, value, before)),
    )


@pytest.mark.parametrize("reverse", [False, True])
def test_a_plan_written_by_hand_is_torch_rnn(reverse):
    theirs = torch.nn.RNN(E, H, dtype=torch.float64)
    x, h, weight = normal(T, B, E), normal(1, B, H, seed=1), normal(T, B, H, seed=2)
    x.requires_grad_(), h.requires_grad_()
    output, final = theirs(x.flip(0) if reverse else x, h)
    output = output.flip(0) if reverse else output
    sources = [x, h, theirs.weight_ih_l0, theirs.weight_hh_l0, theirs.bias_ih_l0]
    expected = torch.autograd.grad((output * weight).sum() + final.sum(), sources)

    runtime = partial(TorchPlans(), lambda variant: hand_written_rnn())
    bias = (theirs.bias_ih_l0 + theirs.bias_hh_l0).detach().requires_grad_()
    weights = {"W": theirs.weight_ih_l0, "U": theirs.weight_hh_l0, "b": bias}
    ours, (last,) = runtime(x.reshape(T * B, E), [B] * T, [h[0]], weights, reverse=reverse)
    ours = ours.view(T, B, H)
    torch.testing.assert_close(ours, output, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(last, final[0], rtol=1e-12, atol=1e-12)
    sources[-1] = bias
    found = torch.autograd.grad((ours * weight).sum() + last.sum(), sources)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def runtime_of(graph):
    return partial(
        TorchPlans(),
        lambda variant: plan_graph(graph, training=variant.training, input_gradient=variant.input_gradient),
    )


def by_steps(step, x, h):
    """Run a step function on rows of equal steps; outputs (N, H) and the final state."""
    outputs = []
    for rows in x.split(B):
        h = step(rows, h)
        outputs.append(h)
    return torch.cat(outputs), h


def assert_same(runtime, step, weights, parameters=None):
    """Outputs, the final state and all gradients of a runtime are those of a step function under autograd."""
    x, h = normal(T * B, E, seed=3).requires_grad_(), normal(B, H, seed=4).requires_grad_()
    sources = [x, h, *weights.values(), *([] if parameters is None else [parameters])]
    given = [normal(T * B, H, seed=5), normal(B, H, seed=6)]
    ours, (last,) = runtime(x, [B] * T, [h], weights, parameters=parameters)
    found = (ours, last, *torch.autograd.grad([ours, last], sources, given))
    theirs = by_steps(step, x, h)
    expected = (*theirs, *torch.autograd.grad(theirs, sources, given))
    with torch.no_grad():
        inferred, _ = runtime(x, [B] * T, [h], weights, parameters=parameters)
    torch.testing.assert_close(inferred, theirs[0], rtol=1e-12, atol=1e-12)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def leaves(**shapes):
    return {
        name: (0.6 * normal(*shape, seed=index)).requires_grad_()
        for index, (name, shape) in enumerate(shapes.items(), start=10)
    }


def test_mixtures_of_activations():
    """Two mixtures that share the vector of parameters, and an edge with one parameter."""
    builder = GraphBuilder("input", {"h": "hidden"})
    first = builder.linear("a", "hidden", [("x", "W", None), ("h", "U", None)], None)
    mixed = builder.add(Value("m", "mixture", "hidden", (first,), immediate=0))
    second = builder.linear("b", "hidden", [(mixed, "V", None)], None)
    other = builder.add(Value("n", "mixture", "hidden", (second,), immediate=4))
    scaled = builder.add(Value("s", "parameter_scale", "hidden", (mixed,), immediate=8))
    total = builder.add(Value("t", "add", "hidden", (other, scaled)))
    runtime = runtime_of(builder.finish(total, [total], num_parameters=9))
    weights = leaves(W=(H, E), U=(H, H), V=(H, H))
    parameters = normal(9, seed=20).requires_grad_()

    def mixture(p, a):
        return p[0] * a.tanh() + p[1] * a.relu() + p[2] * a.sigmoid() + p[3] * a

    def step(x, h):
        m = mixture(parameters[:4], F.linear(x, weights["W"]) + F.linear(h, weights["U"]))
        return mixture(parameters[4:8], F.linear(m, weights["V"])) + parameters[8] * m

    assert_same(runtime, step, weights, parameters)


def test_a_mixture_of_one_value_with_itself():
    """The gradient of m * m reaches the mixture's backward operation from two sides."""
    builder = GraphBuilder("input", {"h": "hidden"})
    value = builder.linear("a", "hidden", [("x", "W", None), ("h", "U", None)], None)
    mixed = builder.add(Value("m", "mixture", "hidden", (value,), immediate=0))
    square = builder.add(Value("s", "multiply", "hidden", (mixed, mixed)))
    bounded = builder.add(Value("t", "tanh", "hidden", (square,)))
    weights = leaves(W=(H, E), U=(H, H))
    parameters = normal(4, seed=21).requires_grad_()

    def step(x, h):
        a = F.linear(x, weights["W"]) + F.linear(h, weights["U"])
        p = parameters
        return (p[0] * a.tanh() + p[1] * a.relu() + p[2] * a.sigmoid() + p[3] * a).square().tanh()

    assert_same(runtime_of(builder.finish(bounded, [bounded], num_parameters=4)), step, weights, parameters)


def test_normalisation_over_the_rows_of_a_step():
    builder = GraphBuilder("input", {"h": "hidden"})
    value = builder.linear("a", "hidden", [("x", "W", None), ("h", "U", None)], "b")
    start = builder.add(Value("s", "tanh", "hidden", (value,)))
    normalised = builder.add(Value("n", NORM, "hidden", (start,)))
    after = builder.linear("c", "hidden", [(normalised, "V", None)], None)
    gate = builder.add(Value("g", "sigmoid", "hidden", (after,)))
    total = builder.add(Value("t", "multiply", "hidden", (gate, normalised)))
    weights = leaves(W=(H, E), U=(H, H), b=(H,), V=(H, H))

    def step(x, h):
        value = torch.tanh(F.linear(x, weights["W"], weights["b"]) + F.linear(h, weights["U"]))
        normalised = F.batch_norm(value, None, None, training=True, eps=1e-5)
        return torch.sigmoid(F.linear(normalised, weights["V"])) * normalised

    assert_same(runtime_of(builder.finish(total, [total])), step, weights)


def test_parameters_alone_learn():
    """No gradient of a weight is computed where only the mixture is asked for."""
    builder = GraphBuilder("input", {"h": "hidden"})
    value = builder.linear("a", "hidden", [("x", "W", None), ("h", "U", None)], None)
    mixed = builder.add(Value("m", "mixture", "hidden", (value,), immediate=0))
    runtime = runtime_of(builder.finish(mixed, [mixed], num_parameters=4))
    weights = {name: weight.detach() for name, weight in leaves(W=(H, E), U=(H, H)).items()}
    parameters = normal(4, seed=22).requires_grad_()
    output, _ = runtime(normal(T * B, E), [B] * T, [normal(B, H)], weights, parameters=parameters)
    output.sum().backward()

    def loss(p):
        def step(x, h):
            a = F.linear(x, weights["W"]) + F.linear(h, weights["U"])
            return p[0] * a.tanh() + p[1] * a.relu() + p[2] * a.sigmoid() + p[3] * a

        return by_steps(step, normal(T * B, E), normal(B, H))[0].sum()

    (expected,) = torch.autograd.grad(loss(parameters), parameters)
    torch.testing.assert_close(parameters.grad, expected, rtol=1e-12, atol=1e-12)

"""Layers under autocast: what they give, and how far that may lie from float64."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence

import cellzoo
from cellzoo.runtime.native import binding, engine

E, H = 24, 32
LENGTHS = (9, 9, 6, 2)
MOST_OF_THE_NORM = 0.01
ENGINES = ["auto", "torch", "scan", *(["native"] if binding.is_available() else [])]
needs_bfloat16 = pytest.mark.skipif(
    not binding.has_bfloat16(), reason="this processor, or this build, has no products of bfloat16 (AMX)"
)


@pytest.fixture(autouse=True)
def forget_what_was_compiled():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def autocast(dtype=torch.bfloat16):
    return torch.autocast("cpu", dtype=dtype)


def build(name, **options):
    rnn = cellzoo.rnn(name, E, H, **options)
    rnn.reset_parameters(torch.Generator().manual_seed(1))
    return rnn


def draw(kind, dtype):
    """Input that both kinds hold without loss."""
    generator = torch.Generator().manual_seed(2)
    lengths = LENGTHS if kind == "packed" else (LENGTHS[0],) * len(LENGTHS)
    rows = [torch.randn(length, E, generator=generator).bfloat16().to(dtype) for length in lengths]
    return pack_sequence(rows) if kind == "packed" else torch.stack(rows, 1)


def parts(results):
    """Outputs and states."""
    output, states = results
    first = output.data if isinstance(output, PackedSequence) else output
    return [first, *(states if isinstance(states, tuple) else (states,))]


def learn(call, rnn, given):
    """Outputs, states, and gradients of x and of the weights."""
    x = given.data if isinstance(given, PackedSequence) else given
    x = x.detach().requires_grad_()
    results = parts(call(PackedSequence(x, *given[1:]) if isinstance(given, PackedSequence) else x))
    generator = torch.Generator().manual_seed(3)
    grads = [torch.randn(each.shape, generator=generator).bfloat16().to(each.dtype) for each in results]
    return results, torch.autograd.grad(results, [x, *rnn.parameters()], grads)


def exact(rnn, given):
    """What the definition gives in float64."""
    wide = cellzoo.CellRNN(
        rnn.cell,
        E,
        H,
        rnn.num_layers,
        bidirectional=rnn.bidirectional,
        runtime="reference",
        dtype=torch.float64,
    )
    wide.load_state_dict(rnn.state_dict())
    return learn(wide, wide, given.to(torch.float64))


def assert_near(found, expected, bound=MOST_OF_THE_NORM):
    for ours, theirs in zip(found, expected, strict=True):
        apart = [(one.double() - other).norm() for one, other in zip(ours, theirs, strict=True)]
        norm = torch.stack([other.norm() for other in theirs]).norm()
        assert torch.stack(apart).norm() <= bound * norm


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kind", ["padded", "packed"])
@pytest.mark.parametrize("name", ["lstm", "darts-v2", "mingru", "slstm"])
@pytest.mark.parametrize("runtime", [*ENGINES, "reference"])
def test_results_lie_near_those_of_float64(runtime, name, kind, dtype):
    rnn, given = build(name, runtime=runtime), draw(kind, dtype)
    results, gradients = found = learn(autocast()(rnn), rnn, given)
    assert {each.dtype for each in results} == {torch.bfloat16}
    assert [each.dtype for each in gradients] == [dtype, *(torch.float32 for _ in rnn.parameters())]
    # The definition rounds what activations give, too.
    assert_near(found, exact(rnn, given), MOST_OF_THE_NORM * (2 if runtime == "reference" else 1))


@pytest.mark.parametrize("kind", ["padded", "packed"])
def test_compiled_layers_give_the_same(kind):
    rnn = build("lstm", num_layers=2, bidirectional=True)
    eager = autocast()(rnn)
    compiled = torch.compile(eager, backend="aot_eager", fullgraph=True, dynamic=True)
    for dtype in (torch.float32, torch.bfloat16):
        given = draw(kind, dtype)
        found, expected = learn(compiled, rnn, given), learn(eager, rnn, given)
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
        assert_near(found, exact(rnn, given))


@needs_bfloat16
@pytest.mark.parametrize("kind", ["padded", "packed"])
def test_products_are_those_of_the_precision_bf16(kind):
    given = draw(kind, torch.float32)
    rnn, rounded = build("darts-v2"), build("darts-v2", precision="bf16")
    results, gradients = learn(autocast()(rnn), rnn, given)
    expected, expected_gradients = learn(rounded, rounded, given)
    assert all(torch.equal(one, other.bfloat16()) for one, other in zip(results, expected, strict=True))
    assert all(map(torch.equal, gradients, expected_gradients))
    assert not any(map(torch.equal, gradients, learn(rnn, rnn, given)[1]))


@pytest.mark.parametrize("asked", [torch.bfloat16, torch.float16], ids=str)
def test_where_there_are_no_such_products_they_are_full(monkeypatch, asked):
    if asked == torch.bfloat16:
        monkeypatch.setattr(engine, "has_bfloat16", lambda: False)
    rnn, x = build("gru"), draw("padded", torch.float32)
    for one, other in zip(parts(autocast(asked)(rnn)(x)), parts(rnn(x)), strict=True):
        torch.testing.assert_close(one, other.to(asked), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_the_dtype_is_that_of_torch(dtype):
    x = draw("padded", dtype)
    hx = (torch.zeros(1, len(LENGTHS), H),) * 2
    for states in (None, hx):
        with autocast():
            ours, theirs = build("lstm")(x, states), nn.LSTM(E, H)(x, states)
        assert [each.dtype for each in parts(ours)] == [each.dtype for each in parts(theirs)]


def test_double_precision_is_left_alone():
    rnn, x = build("lstm").double(), draw("padded", torch.float64)
    found = parts(autocast()(rnn)(x))
    torch.testing.assert_close(found, parts(rnn(x)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("compiles", [False, True])
def test_between_layers_that_autocast_rounds(compiles):
    torch.manual_seed(0)
    below, rnn, above = nn.Linear(5, E), build("lstm"), nn.Linear(H, 3)
    model = nn.ModuleList([below, rnn, above])
    x = torch.randn(7, 4, 5)

    @autocast()
    def run(x):
        return above(rnn(below(x))[0])

    run = torch.compile(run, backend="aot_eager", fullgraph=True) if compiles else run
    run(x).float().square().sum().backward()
    found = [weight.grad.clone() for weight in model.parameters()]
    model.zero_grad()
    above(rnn(below(x))[0]).square().sum().backward()
    expected = [weight.grad.double() for weight in model.parameters()]
    assert {gradient.dtype for gradient in found} == {torch.float32}
    assert_near([found], [expected], 0.02)  # of three layers

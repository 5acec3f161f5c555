"""`CellRNN.step` against the sequence that its steps make up."""

from __future__ import annotations

import copy
import pickle
import threading

import pytest
import torch

import cellzoo
from cellzoo import inference
from cellzoo.cells.graph import HIDDEN_WIDTH
from cellzoo.runtime import using
from cellzoo.runtime.native import binding

E = H = 8
CLOSE = {"rtol": 1e-12, "atol": 1e-12}


def build(name="lstm", **options):
    rnn = cellzoo.rnn(name, E, H, dtype=torch.float64, **options)
    rnn.reset_parameters(torch.Generator().manual_seed(1))
    return rnn


def draw(*shape, seed=2):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def draw_states(rnn, batch):
    widths = [rnn.hidden_size if state.width == HIDDEN_WIDTH else rnn.input_size for state in rnn.cell.states]
    states = [draw(rnn.num_layers, batch, width, seed=7 + index) for index, width in enumerate(widths)]
    return states[0] if len(states) == 1 else tuple(states)


def steps(rnn, x, state):
    """Outputs of steps, and the states after the last."""
    outputs = []
    for row in x:
        output, state = rnn.step(row, state)
        outputs.append(output)
    return torch.stack(outputs), state


@pytest.fixture
def fast(monkeypatch):
    """How many steps went by the short way."""
    found = []
    run = inference.Inference.step

    def watched(self, *arguments):
        result = run(self, *arguments)
        found.append(result is not None)
        return result

    monkeypatch.setattr(inference.Inference, "step", watched)
    return found


def test_steps_of_every_cell_are_the_sequence():
    for name in cellzoo.list_cells():
        rnn = build(name)
        x, state = draw(3, 2, E), draw_states(rnn, 2)
        with torch.no_grad(), using("reference"):
            expected = rnn(x, state)
        with torch.no_grad():
            torch.testing.assert_close(steps(rnn, x, state), expected, **CLOSE)


@pytest.mark.parametrize("batch", [1, 3, 30])
@pytest.mark.parametrize(
    "options", [{}, {"num_layers": 3, "dropout": 0.5}, {"batch_first": True}, {"bias": False}]
)
def test_shapes_and_options(batch, options, fast):
    rnn = build("lstm", **options).eval()
    x = draw(4, batch, E)
    with torch.no_grad():
        output, final = rnn(x.transpose(0, 1) if rnn.batch_first else x)
        found = steps(rnn, x, None)
    expected = output.transpose(0, 1) if rnn.batch_first else output
    torch.testing.assert_close(found, (expected, final), **CLOSE)
    assert len(fast) == 4
    assert all(fast) == binding.is_available()


def test_an_unbatched_step():
    rnn = build("gru", batch_first=True)
    x = draw(3, E)
    with torch.no_grad():
        torch.testing.assert_close(steps(rnn, x, None), rnn(x), **CLOSE)


def test_steps_have_gradients_where_they_are_asked_for(fast):
    rnn = build("darts-v2")
    x = draw(3, 2, E)
    found = torch.autograd.grad(steps(rnn, x, None)[0].sin().sum(), list(rnn.parameters()))
    expected = torch.autograd.grad(rnn(x)[0].sin().sum(), list(rnn.parameters()))
    torch.testing.assert_close(found, expected, **CLOSE)
    assert not any(fast)


@torch.no_grad()
def test_weights_are_read_at_every_step():
    rnn = build()
    x = draw(2, E)
    rnn.step(x)
    first = next(rnn.parameters())
    for change in (
        lambda: first.mul_(2),
        lambda: first.data.mul_(2),
        lambda: setattr(first, "data", draw(H, E, seed=3)),
        lambda: setattr(first, "data", draw(E, H, seed=4).t()),
        lambda: torch.nn.utils.parametrizations.weight_norm(
            rnn.direction(0), next(iter(rnn.direction(0).keys))
        ),
    ):
        change()
        torch.testing.assert_close(rnn.step(x)[0], rnn(x[None])[0][0], **CLOSE)


@torch.no_grad()
def test_inputs_in_any_layout():
    rnn = build()
    x = draw(E, 3).t()
    state = tuple(part.expand(1, 3, H) for part in draw(2, 1, 1, H))
    torch.testing.assert_close(rnn.step(x, state)[0], rnn(x[None], state)[0][0], **CLOSE)


@torch.no_grad()
def test_an_input_is_left_as_it_is_and_results_are_new():
    rnn = build("gru")
    x, state = draw(2, E), draw(1, 2, H)
    kept = x.clone(), state.clone()
    first = rnn.step(x, state)
    known = [part.clone() for part in first]
    rnn.step(x + 1, state + 1)
    torch.testing.assert_close((x, state), kept, rtol=0, atol=0)
    torch.testing.assert_close(list(first), known, rtol=0, atol=0)


def test_copies_step_for_themselves():
    rnn = build()
    x = draw(2, E)
    with torch.no_grad():
        expected = rnn.step(x)
        for other in (copy.deepcopy(rnn), pickle.loads(pickle.dumps(rnn))):  # noqa: S301 - from ourselves
            torch.testing.assert_close(other.step(x), expected, rtol=0, atol=0)


def test_threads_step_side_by_side():
    rnn = build(num_layers=2)
    inputs = [draw(30, 2, E, seed=seed) for seed in range(4)]
    found = {}

    def run(number):
        with torch.no_grad():
            found[number] = steps(rnn, inputs[number], None)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with torch.no_grad():
        for number, x in enumerate(inputs):
            torch.testing.assert_close(found[number], rnn(x), **CLOSE)


def test_zoneout_rests_outside_of_training(fast):
    rnn = build("lstm", zoneout=0.3).eval()
    x = draw(3, 2, E)
    with torch.no_grad():
        torch.testing.assert_close(steps(rnn, x, None), rnn(x), **CLOSE)
    assert all(fast) == binding.is_available()


def test_hooks_are_called():
    rnn = build()
    calls = []
    rnn.direction(0).register_forward_hook(lambda *_: calls.append("direction"))
    with torch.no_grad():
        rnn.step(draw(2, E))
    assert calls == ["direction"]


@pytest.mark.parametrize(
    ("options", "x", "state", "message"),
    [
        ({"bidirectional": True}, draw(2, E), None, "no single step"),
        ({}, draw(1, 2, E), None, "x has 3 dimensions; expected 1"),
        ({}, draw(2, E + 1), None, "input has width 9; input_size is 8"),
        ({}, draw(2, E), draw(1, 2, H), r"hx has 1 state\(s\); the cell has 2"),
        ({}, draw(2, E), (draw(1, 3, H), draw(1, 2, H)), "expected"),
        ({}, draw(2, E).float(), None, "input is torch.float32, but the weights are torch.float64"),
    ],
)
def test_what_does_not_fit_is_said(options, x, state, message):
    with torch.no_grad(), pytest.raises(ValueError, match=message):
        build(**options).step(x, state)

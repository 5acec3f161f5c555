"""Passes over one sequence in inference, which have a short way, against the reference engine."""

from __future__ import annotations

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

import cellzoo
from cellzoo import inference
from cellzoo.cells.graph import HIDDEN_WIDTH
from cellzoo.runtime import using
from cellzoo.runtime.native import binding

E = H = 8
CLOSE = {"rtol": 1e-12, "atol": 1e-12}


def build(name="lstm", **options):
    rnn = cellzoo.rnn(name, E, options.pop("hidden_size", H), dtype=torch.float64, **options)
    rnn.reset_parameters(torch.Generator().manual_seed(1))
    return rnn


def draw(*shape, seed=2):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def draw_states(rnn, *batch):
    widths = [rnn.hidden_size if state.width == HIDDEN_WIDTH else rnn.input_size for state in rnn.cell.states]
    rows = len(rnn.directions)
    states = [draw(rows, *batch, width, seed=7 + index) for index, width in enumerate(widths)]
    return states[0] if len(states) == 1 else tuple(states)


def check(rnn, x, hx=None):
    with torch.no_grad(), using("reference"):
        expected = rnn(x, hx)
    with torch.no_grad():
        torch.testing.assert_close(rnn(x, hx), expected, **CLOSE)


@pytest.fixture
def fast(monkeypatch):
    """Whether passes went by the short way."""
    found = []
    run = inference.Inference.sequence

    def watched(self, *arguments):
        result = run(self, *arguments)
        found.append(result is not None)
        return result

    monkeypatch.setattr(inference.Inference, "sequence", watched)
    return found


@pytest.mark.parametrize("options", [{}, {"num_layers": 3, "hidden_size": 5}, {"bias": False}])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", ["lstm", "darts-v2"])
def test_one_sequence_in_every_form(name, bidirectional, options, fast):
    rnn = build(name, bidirectional=bidirectional, **options)
    first = build(name, bidirectional=bidirectional, batch_first=True, **options)
    for steps in (3, 1, 4):
        x = draw(steps, E)
        for hx in (None, draw_states(rnn, 1)):
            check(rnn, x[:, None], hx)
            check(first, x[None], hx)
            check(rnn, pack_sequence([x]), hx)
        check(rnn, x)
        check(first, x, draw_states(rnn))
    assert fast == [False, True] * (len(fast) // 2) or not binding.is_available()


@torch.no_grad()
def test_a_sequence_that_takes_several_chunks():
    rnn = build(bidirectional=True)
    x = draw(1100, 1, E)
    torch.testing.assert_close(rnn(x)[0], rnn(x.expand(1100, 2, E))[0][:, :1], **CLOSE)


def test_every_cell():
    for name in cellzoo.list_cells():
        rnn = build(name, bidirectional=True)
        check(rnn, draw(3, 1, E), draw_states(rnn, 1))


def test_what_has_more_to_do_goes_the_long_way(fast):
    x = draw(4, 1, E)
    rnn = build()
    rnn(x)
    with torch.no_grad():
        rnn(draw(4, 2, E))
        rnn(pack_sequence([draw(3, E), draw(1, E)]))
        with torch.autocast("cpu"):
            rnn(x)
        build(dropout_h=0.5)(x)
        build(zoneout=0.5)(x)
        build(runtime="torch")(x)
        rnn(draw(E, 4).t()[:, None])
        torch.func.vmap(rnn)(x[None])
    assert not any(fast)


def test_who_watches_is_called():
    rnn = build(bidirectional=True)
    calls = []
    kept = [
        rnn.direction(1).register_forward_hook(lambda *_: calls.append("hook")),
        rnn.direction(0).register_forward_pre_hook(lambda *_: calls.append("before")),
    ]
    with torch.no_grad():
        rnn(draw(3, E))
        for hook in kept:
            hook.remove()
        forward = rnn.direction(0).forward
        rnn.direction(0).forward = lambda *given, **named: calls.append("own") or forward(*given, **named)
        rnn(draw(3, E))
    assert calls == ["before", "hook", "own"]


@torch.no_grad()
def test_a_weight_that_does_not_fit_is_not_kept_for_the_next_pass():
    rnn = build()
    x = draw(3, E)
    expected = rnn(x)
    first = next(rnn.parameters())
    known = first.data
    first.data = draw(E, H, seed=4).t()
    torch.testing.assert_close(rnn(x), using_reference(rnn, x), **CLOSE)
    first.data = known
    torch.testing.assert_close(rnn(x), expected, rtol=0, atol=0)


def using_reference(rnn, x):
    with using("reference"):
        return rnn(x)


def test_what_does_not_fit_is_said():
    rnn = build()
    with torch.no_grad():
        for x, hx, message in (
            (draw(4, 1, E + 1), None, "input has width 9"),
            (draw(0, 1, E), None, "no time step"),
            (draw(4, 1, E), draw(1, 1, H), r"hx has 1 state"),
            (draw(4, 1, E), (draw(1, 1, H), draw(1, 2, H)), "expected"),
            (draw(4, 1, E).float(), None, "weights are torch.float64"),
        ):
            with pytest.raises(ValueError, match=message):
                rnn(x, hx)


@torch.no_grad()
def test_another_thread_may_take_the_last_prepared_pass():
    """The list of idle passes says that it has one, and has none when it is taken."""

    class Raced(list):
        def __len__(self):
            return 1

    rnn = build()
    x = draw(3, E)
    expected = rnn(x)
    rnn._inference._idle[E] = Raced()
    torch.testing.assert_close(rnn(x), expected, rtol=0, atol=0)

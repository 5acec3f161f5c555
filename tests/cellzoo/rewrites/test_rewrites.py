"""Wrappers over cells, each against what it stands for written out in plain torch."""

from __future__ import annotations

import pytest
import torch
from engine_cases import Case, hold

import cellzoo
from cellzoo import rewrites
from cellzoo.errors import CellError
from cellzoo.runtime.reference import ReferenceRuntime

E = H = 4
CELLS = ("rnn", "lstm", "gru", "darts-v2", "lem")
REWRITES = {
    "mi": rewrites.multiplicative_integration,
    "independent": rewrites.independent_recurrence,
    "ln": rewrites.layer_norm,
    "fs": lambda cell: rewrites.fast_slow(cell, cellzoo.load("lstm"), 3),
}


def step(cell, weights, x, *states):
    """One step of a cell: the output and the next states."""
    output, after = ReferenceRuntime(cell)(x, (x.size(0),), states, weights)
    return output, after


def drawn(cell, seed=0, batch=3):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    shapes = cell.parameter_shapes(input_size=E, hidden_size=H)
    return {name: normal(*shape) for name, shape in shapes.items()}, normal(batch, E), normal(batch, H)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("rewrite", REWRITES)
def test_every_engine_runs_it(name, rewrite):
    cell = REWRITES[rewrite](cellzoo.load(name))
    hold(cell, Case(E, H, (3, 2), masked_h=True))
    assert cellzoo.parse(cellzoo.notations.equations.write(cell), "equations").hash == cell.hash


def test_multiplicative_integration_is_the_formula():
    cell = rewrites.multiplicative_integration(cellzoo.load("rnn"))
    p, x, h = drawn(cell)
    on_x, on_h = x @ p["h_next_1_0"].T, h @ p["h_next_1_1"].T
    alpha, beta, gamma = (p[f"h_next_1_{letter}"] for letter in ("alpha", "beta", "gamma"))
    expected = torch.tanh(alpha * on_x * on_h + beta * on_h + gamma * on_x + p["h_next_1_b"])
    torch.testing.assert_close(step(cell, p, x, h)[0], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru", "darts-v2"])
def test_independent_units_see_their_own_past_alone(name):
    cell = rewrites.independent_recurrence(cellzoo.load(name))
    p, x, _ = drawn(cell, batch=1)
    states = [torch.randn(1, H, dtype=torch.float64) for _ in cell.states]

    def output(*given):
        return step(cell, p, x, *given)[0]

    for jacobian in torch.autograd.functional.jacobian(output, tuple(states)):
        matrix = jacobian[0, :, 0]
        torch.testing.assert_close(matrix, torch.diag(matrix.diagonal()))


def test_independent_recurrence_of_the_plain_cell_is_indrnn():
    cell = rewrites.independent_recurrence(cellzoo.parse("h' = relu(linear(x, h))", "equations"))
    assert cell.hash == cellzoo.load("indrnn").hash


def test_layer_norm_is_that_of_torch():
    cell = rewrites.layer_norm(cellzoo.load("rnn"))
    p, x, h = drawn(cell)
    raw = x @ p["h_next_1_0"].T + h @ p["h_next_1_1"].T
    normal = torch.nn.functional.layer_norm(raw, (H,), 1 + p["h_next_1_gain"], p["h_next_1_b"], eps=1e-5)
    torch.testing.assert_close(step(cell, p, x, h)[0], torch.tanh(normal), rtol=1e-12, atol=1e-12)


def test_fast_slow_is_its_cells_one_after_another():
    """Mujika et al. 2017, equations 1 to 5, with torch's LSTM cells; the third fast cell reads zeros."""
    cell = rewrites.fast_slow(cellzoo.load("lstm"), cellzoo.load("lstm"), 3)
    assert [state.name for state in cell.states] == ["f_h", "f_c", "s_h", "s_c"]
    p, x, _ = drawn(cell)
    states = [torch.randn(3, H, dtype=torch.float64) for _ in range(4)]

    def run(prefix, given, h, c):
        module = torch.nn.LSTMCell(E, H, dtype=torch.float64)
        with torch.no_grad():
            for name, end in (("weight_ih", "0"), ("weight_hh", "1"), ("bias_ih", "b")):
                zeros = torch.zeros(H, E, dtype=torch.float64)
                parts = [p.get(f"{prefix}{gate}_1_{end}", zeros) for gate in "ifgo"]
                getattr(module, name).copy_(torch.cat(parts))
            module.bias_hh.zero_()
            return module(given, (h, c))

    fast = run("f1_", x, *states[:2])
    slow = run("s_", fast[0], *states[2:])
    fast = run("f2_", slow[0], *fast)
    fast = run("f3_", torch.zeros(3, E, dtype=torch.float64), *fast)
    output, after = step(cell, p, x, *states)
    for found, expected in zip((output, *after), (fast[0], *fast, *slow), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_what_was_published_of_the_start_stays_where_the_weight_does():
    cell = rewrites.fast_slow(cellzoo.load("lstm"), cellzoo.load("gru"))
    weights = cellzoo.CellRNN(cell, E, H, init="published").direction(0).weights
    ones = {name for name, weight in weights.items() if torch.equal(weight, torch.ones_like(weight))}
    assert ones == {"f1_f_1_b", "f2_f_1_b"}
    for rewrite in (rewrites.layer_norm, rewrites.multiplicative_integration, rewrites.independent_recurrence):
        weights = cellzoo.CellRNN(rewrite(cellzoo.load("lstm")), E, H, init="published").direction(0).weights
        assert (weights["f_1_b"] == 1).all()
    assert rewrites.independent_recurrence(cellzoo.load("darts-v2")).init == tuple(
        (name, "uniform(0.04)") for name in ("c0_x", "u0_x")
    )


def test_what_cannot_be_rewritten():
    with pytest.raises(CellError, match="independent units need the hidden width"):
        rewrites.independent_recurrence(cellzoo.load("mogrifier-lstm"))
    with pytest.raises(CellError, match="averages over units"):
        rewrites.independent_recurrence(rewrites.layer_norm(cellzoo.load("rnn")))
    with pytest.raises(CellError, match="carries its input"):
        rewrites.fast_slow(cellzoo.load("qrnn"), cellzoo.load("rnn"))
    for count in (1, 9, True, 2.0):
        with pytest.raises(CellError, match="expected 2 to 8"):
            rewrites.fast_slow(cellzoo.load("rnn"), cellzoo.load("rnn"), count)

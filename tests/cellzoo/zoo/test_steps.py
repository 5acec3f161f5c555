"""The hand-designed cells of the zoo against one step of each, written anew from the papers' equations.

A step takes x (B, E), the states (B, H) and the weights by the names of its equations: W_a multiplies x, U_a
multiplies h, b_a is a bias. It shares no code with the graph; `rnn`, `lstm` and `gru` are held against
torch.nn elsewhere.
"""

from __future__ import annotations

import math

import more_steps
import pytest
import recent_steps
import torch

import cellzoo

E, H, B, T = 3, 5, 4, 6
sigmoid, tanh, relu = torch.sigmoid, torch.tanh, torch.relu


class Weights(dict):
    """Weights by the names of the equations, and the affine map that most gates are."""

    def affine(self, gate, x=None, h=None):
        total = self.get(f"b_{gate}", 0)
        if x is not None:
            total = total + x @ self[f"W_{gate}"].T
        return total if h is None else total + h @ self[f"U_{gate}"].T


def gru_reset_before(x, states, p):
    (h,) = states
    r, z = sigmoid(p.affine("r", x, h)), sigmoid(p.affine("z", x, h))
    n = tanh(p.affine("n", x, r * h))
    h = z * h + (1 - z) * n
    return h, (h,)


def cifg(x, states, p):
    h, c = states
    f, o = sigmoid(p.affine("f", x, h)), sigmoid(p.affine("o", x, h))
    c = f * c + (1 - f) * tanh(p.affine("g", x, h))
    h = o * tanh(c)
    return h, (h, c)


def peephole_lstm(x, states, p):
    h, c = states
    i = sigmoid(p.affine("i", x, h) + p["w_i"] * c)
    f = sigmoid(p.affine("f", x, h) + p["w_f"] * c)
    c = f * c + i * tanh(p.affine("g", x, h))
    o = sigmoid(p.affine("o", x, h) + p["w_o"] * c)
    h = o * tanh(c)
    return h, (h, c)


def mgu(x, states, p):
    (h,) = states
    f = sigmoid(p.affine("f", x, h))
    h = (1 - f) * h + f * tanh(p.affine("n", x, f * h))
    return h, (h,)


def mut1(x, states, p):
    (h,) = states
    z, r = sigmoid(p.affine("z", x)), sigmoid(p.affine("r", x, h))
    h = tanh(p.affine("n", None, r * h) + tanh(x @ p["W_x"].T)) * z + h * (1 - z)
    return h, (h,)


def mut2(x, states, p):
    (h,) = states
    z, r = sigmoid(p.affine("z", x, h)), sigmoid(p.affine("r", x, h))
    h = tanh(p.affine("n", x, r * h)) * z + h * (1 - z)
    return h, (h,)


def mut3(x, states, p):
    (h,) = states
    z, r = sigmoid(p.affine("z", x, tanh(h))), sigmoid(p.affine("r", x, h))
    h = tanh(p.affine("n", x, r * h)) * z + h * (1 - z)
    return h, (h,)


def janet(x, states, p):
    (c,) = states
    s = p.affine("s", x, c)
    c = sigmoid(s) * c + (1 - sigmoid(s - 1)) * tanh(p.affine("g", x, c))
    return c, (c,)


def atr(x, states, p):
    (h,) = states
    projected, recurrent = p.affine("p", x), h @ p["U_q"].T
    h = sigmoid(projected + recurrent) * projected + sigmoid(projected - recurrent) * h
    return h, (h,)


def indrnn(x, states, p):
    (h,) = states
    h = relu(p.affine("h", x) + p["u"] * h)
    return h, (h,)


def ran(x, states, p):
    h, c = states
    i, f = sigmoid(p.affine("i", x, h)), sigmoid(p.affine("f", x, h))
    c = i * p.affine("c", x) + f * c
    return tanh(c), (tanh(c), c)


def rhn(x, states, p):
    (s,) = states
    for level in range(1, 1 + sum(name.startswith("U_t") for name in p)):
        first = x if level == 1 else None
        h = tanh(p.affine(f"h{level}", first, s))
        t = sigmoid(p.affine(f"t{level}", first, s))
        s = h * t + s * (1 - t)
    return s, (s,)


def lightru(x, states, p):
    (h,) = states
    f = sigmoid(p.affine("f", x, h))
    h = (1 - f) * h + f * tanh(p.affine("n", x))
    return h, (h,)


def ligru(x, states, p):
    (h,) = states
    z = sigmoid(p.affine("z", x, h))
    h = z * h + (1 - z) * relu(p.affine("n", x, h))
    return h, (h,)


def minimalrnn(x, states, p):
    (h,) = states
    z = tanh(p.affine("z", x))
    u = sigmoid(h @ p["U_u"].T + z @ p["V_u"].T + p["b_u"])
    h = u * h + (1 - u) * z
    return h, (h,)


def scrn(x, states, p):
    h, s = states
    a = sigmoid(p["alpha"])
    s = (1 - a) * (x @ p["B"].T) + a * s
    h = sigmoid(s @ p["P"].T + x @ p["A"].T + h @ p["R"].T + p["b"])
    return tanh(h @ p["U"].T + s @ p["V"].T), (h, s)


def fastrnn(x, states, p):
    (h,) = states
    h = sigmoid(p["alpha"]) * tanh(p.affine("n", x, h)) + sigmoid(p["beta"]) * h
    return h, (h,)


def fastgrnn(x, states, p):
    (h,) = states
    shared = x @ p["W"].T + h @ p["U"].T
    z, n = sigmoid(shared + p["b_z"]), tanh(shared + p["b_n"])
    h = (sigmoid(p["zeta"]) * (1 - z) + sigmoid(p["nu"])) * n + z * h
    return h, (h,)


def nascell(x, states, p):
    """Eight projections of x and of h, combined in pairs; the fourth pair is multiplied."""
    h, c = states
    on_input = (x @ torch.cat([p[f"W_{k}"] for k in range(8)]).T).chunk(8, 1)
    on_state = (h @ torch.cat([p[f"U_{k}"] for k in range(8)]).T).chunk(8, 1)
    first = [sigmoid, relu, sigmoid, relu, tanh, sigmoid, tanh, sigmoid]
    a = [act(on_input[k] * on_state[k] if k == 3 else on_input[k] + on_state[k]) for k, act in enumerate(first)]
    b = [tanh(a[0] * a[1]), tanh(a[2] + a[3]), tanh(a[4] * a[5]), sigmoid(a[6] + a[7])]
    c = tanh(b[0] + c) * b[1]
    h = tanh(c * tanh(b[2] + b[3]))
    return h, (h, c)


def mogrifier(x, states, p, *, capped=False):
    """Even rounds gate x by h, odd rounds gate h by x; then an LSTM on what they leave."""
    h, c = states
    for turn in range(5):
        if turn % 2 == 0:
            x = 2 * sigmoid(h @ p[f"Q_{turn}"].T + p[f"b_{turn}"]) * x
        else:
            h = 2 * sigmoid(x @ p[f"Q_{turn}"].T + p[f"b_{turn}"]) * h
    f, i = sigmoid(p.affine("f", x, h)), sigmoid(p.affine("i", x, h))
    if capped:
        i = torch.minimum(1 - f, i)
    c = f * c + i * tanh(p.affine("j", x, h))
    h = sigmoid(p.affine("o", x, h)) * tanh(c)
    return h, (h, c)


def mogrifier_capped(x, states, p):
    return mogrifier(x, states, p, capped=True)


def gates(**nodes):
    """Equation's name -> the cell's, for gates `b + W x + U h` given by the name of their linear node."""
    found = {}
    for gate, node in nodes.items():
        found |= {f"W_{gate}": f"{node}_0", f"U_{gate}": f"{node}_1", f"b_{gate}": f"{node}_b"}
    return found


def on_x(**nodes):
    """The same for `b + W x`."""
    return {
        key: value
        for gate, node in nodes.items()
        for key, value in ((f"W_{gate}", f"{node}_0"), (f"b_{gate}", f"{node}_b"))
    }


def rhn_names(depth):
    names = gates(t1="s1_1", h1="s1_3")
    for level in range(2, depth + 1):
        node = "h_next" if level == depth else f"s{level}"
        for gate, place in (("t", 1), ("h", 3)):
            names |= {f"U_{gate}{level}": f"{node}_{place}_0", f"b_{gate}{level}": f"{node}_{place}_b"}
    return names


NAS_NODES = ("b0_1", "b0_3", "b1_1", "", "b2_1", "b2_3", "b3_1", "b3_3")
NAS = {f"W_{k}": f"{node}_0" for k, node in enumerate(NAS_NODES) if node}
NAS |= {f"U_{k}": f"{node}_1" for k, node in enumerate(NAS_NODES) if node}
NAS |= {"W_3": "b1_3_0", "U_3": "b1_4_0"}
ROUNDS = {}
for turn, node in enumerate(("x1", "h1", "x2", "h2", "x3")):
    ROUNDS |= {f"Q_{turn}": f"{node}_1_0", f"b_{turn}": f"{node}_1_b"}

CASES = {
    "gru-reset-before": (gru_reset_before, gates(r="r_1", z="z_1", n="n_2")),
    "cifg": (cifg, gates(f="f_1", g="g_1", o="o_1")),
    "peephole-lstm": (
        peephole_lstm,
        gates(i="i_1", f="f_1", g="g_1", o="o_1") | {f"w_{gate}": f"p_{gate}" for gate in "ifo"},
    ),
    "mgu": (mgu, gates(f="f_1", n="n_2")),
    "mut1": (
        mut1,
        on_x(z="z_1") | gates(r="r_1") | {"U_n": "n_2_0", "b_n": "n_2_b", "W_x": "n_3_0"},
    ),
    "mut2": (mut2, gates(z="z_1", r="r_1", n="n_2")),
    "mut3": (mut3, gates(z="z_2", r="r_1", n="n_2")),
    "janet": (janet, gates(s="s", g="g_1")),
    "atr": (atr, on_x(p="p") | {"U_q": "q_0"}),
    "indrnn": (indrnn, on_x(h="h_next_1") | {"u": "u"}),
    "ran": (ran, gates(i="i_1", f="f_1") | on_x(c="c_next_1")),
    "rhn-2": (rhn, rhn_names(2)),
    "rhn-5": (rhn, rhn_names(5)),
    "lightru": (lightru, gates(f="f_1") | {"W_n": "n_1_0"}),
    "ligru": (ligru, gates(z="z_1", n="n_1")),
    "minimalrnn": (minimalrnn, on_x(z="z_1") | {"U_u": "u_1_0", "V_u": "u_1_1", "b_u": "u_1_b"}),
    "scrn": (
        scrn,
        {"alpha": "alpha", "B": "s_next_3_0", "b": "h_next_1_b", "U": "output_1_0", "V": "output_1_1"}
        | {matrix: f"h_next_1_{place}" for place, matrix in enumerate("PAR")},
    ),
    "fastrnn": (fastrnn, gates(n="n_1") | {"alpha": "alpha", "beta": "beta"}),
    "fastgrnn": (
        fastgrnn,
        {"W": "a_0", "U": "a_1"} | {name: name for name in ("b_z", "b_n", "zeta", "nu")},
    ),
    "nascell": (nascell, NAS),
    "mogrifier-lstm": (
        mogrifier,
        ROUNDS | gates(f="c_next_1", i="c_next_4", j="c_next_6", o="h_next_1"),
    ),
    "mogrifier-lstm-capped": (
        mogrifier_capped,
        ROUNDS | gates(f="f_1", i="c_next_4", j="c_next_7", o="h_next_1"),
    ),
}


IFOG = gates(i="i_1", f="f_1", o="o_1", g="g_1")
ZFO = gates(z="z", f="f_1", o="o_1")
CASES |= {
    "ugrnn": (more_steps.ugrnn, gates(c="c_1", g="g_1")),
    "intersection-rnn": (more_steps.intersection, gates(y="y_1", n="n_1", gy="gy_1", gh="gh_1")),
    "brc": (
        more_steps.brc,
        on_x(a="a_2", c="c_1") | {"w_a": "w_a", "w_c": "w_c", "W_h": "h_next_1_0"},
    ),
    "nbrc": (more_steps.brc, gates(a="a_2", c="c_1") | {"W_h": "h_next_1_0"}),
    "cfn": (more_steps.cfn, gates(f="f_1", i="i_1") | {"W_n": "h_next_3_0"}),
    "star": (more_steps.star, on_x(z="z_1") | gates(k="k_1")),
    "sgrn": (more_steps.sgrn, on_x(p="p") | {"U_f": "f_1_0"}),
    "multiplicative-lstm": (more_steps.multiplicative_lstm, IFOG | {"W_m": "m_1_0", "U_m": "m_2_0"}),
    "wmc-lstm": (more_steps.wmc_lstm, IFOG | {f"V_{gate}": f"{gate}_2_0" for gate in "ifo"}),
    "mc-lstm": (more_steps.mc_lstm, gates(f="f_1", i="i_1", o="o_1", m="m_1", n="n_1")),
    "residual-lstm": (
        more_steps.residual_lstm,
        IFOG | {f"p_{gate}": f"p_{gate}" for gate in "ifo"} | {"P": "h_next_2_0", "R": "h_next_2_1"},
    ),
    "lstm-1997": (more_steps.lstm_1997, gates(i="i_1", o="o_1", g="g_1")),
    "t-rnn": (more_steps.t_rnn, on_x(f="f_1", z="h_next_1")),
    "t-lstm": (more_steps.t_lstm, ZFO),
    "t-gru": (more_steps.t_gru, ZFO),
    "sru": (
        more_steps.sru,
        on_x(f="f_1", r="r_1") | {"v_f": "v_f", "v_r": "v_r", "W": "c_next_1_0", "W_x": "output_1_0"},
    ),
    "qrnn": (more_steps.qrnn, gates(z="z_1", f="f_1", o="o_1")),
    "mingru": (more_steps.mingru, on_x(z="z_1", n="h_next_1")),
    "minlstm": (more_steps.minlstm, on_x(f="f_1", i="i_1", n="h_next_6")),
    "lem": (more_steps.lem, gates(y="y_1", s="s_1", z="z_next_1", h="h_next_1")),
}
CASES |= {
    "sgu": (recent_steps.sgu, gates(z="z_1") | on_x(x="g_1") | {"U_g": "g_3_0", "b_g": "g_3_b"}),
    "tau-gru": (recent_steps.tau_gru, gates(u="u_1", z="z_1", g="g_1", a="a_1")),
    "cornn": (
        recent_steps.cornn,
        {"W": "z_next_2_0", "V": "z_next_2_1", "U": "z_next_2_2", "b": "z_next_2_b"},
    ),
    "unicornn": (recent_steps.unicornn, on_x(x="z_next_3") | {"c": "c", "w": "w"}),
    "cfc": (
        recent_steps.cfc,
        gates(b="b_3")
        | {"F_1": "h_next_3_0", "f_1": "h_next_3_b", "F_2": "h_next_1_0", "f_2": "h_next_1_b"}
        | {"T_1": "t_1_0", "t_1": "t_1_b", "T_2": "t_2_0", "t_2": "t_2_b"},
    ),
    "slstm": (
        recent_steps.slstm,
        on_x(i="i_1", f="f_3", z="z_1", o="o_1")
        | {"R_i": "i_2_0", "R_f": "f_4_0", "R_z": "z_2_0", "R_o": "o_2_0"},
    ),
    "rg-lru": (
        recent_steps.rg_lru,
        {"W": "u_0", "D_a": "r_1_0", "d_a": "r_1_b", "D_x": "i_1_0", "d_x": "i_1_b", "radius": "radius"},
    ),
    "hgrn": (recent_steps.hgrn, {"W_f": "f_1_0", "W_i": "i_0"}),
}
SAME_WIDTHS = {"intersection-rnn"}
# States that are 0 or 1.
FLAGS = {"rg-lru": {"k"}}


def draw(seed, *shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def layer_of(name):
    """A layer with all its weights drawn from the normal distribution, and them by name."""
    hidden_size = H if cellzoo.load(name).heads == 1 else 2 * cellzoo.load(name).heads
    rnn = cellzoo.rnn(name, hidden_size if name in SAME_WIDTHS else E, hidden_size, dtype=torch.float64)
    weights = dict(rnn.directions[0].weights.items())
    with torch.no_grad():
        for index, weight in enumerate(weights.values()):
            weight.copy_(draw(index, *weight.shape))
    return rnn, {key: weight.detach() for key, weight in weights.items()}


@pytest.mark.parametrize("name", CASES)
def test_outputs_and_states_equal_the_steps(name):
    step, names = CASES[name]
    rnn, weights = layer_of(name)
    assert sorted(names.values()) == sorted(weights), "each weight of the cell stands for one of the equations"
    p = Weights({ours: weights[theirs] for ours, theirs in names.items()})
    x = draw(50, T, B, rnn.input_size)
    widths = {"input": rnn.input_size, "hidden": rnn.hidden_size}
    states = tuple(draw(60 + index, B, widths[state.width]) for index, state in enumerate(rnn.cell.states))
    flags = FLAGS.get(name, ())
    states = tuple(
        (value > 0).double() if state.name in flags else value
        for value, state in zip(states, rnn.cell.states, strict=True)
    )
    stacked = tuple(state[None] for state in states)
    output, final = rnn(x, stacked if len(stacked) > 1 else stacked[0])
    expected = []
    for now in x:
        result, states = step(now, states, p)
        expected.append(result)
    torch.testing.assert_close(output, torch.stack(expected), rtol=1e-12, atol=1e-12)
    found = final if isinstance(final, tuple) else (final,)
    for one, other in zip(found, states, strict=True):
        torch.testing.assert_close(one[0], other, rtol=1e-12, atol=1e-12)


def test_slstm_from_zeros_gives_what_the_first_step_of_the_authors_gives():
    """Their stabiliser begins with the input gate, ours with 0: what leaves the cell is the same."""
    rnn, weights = layer_of("slstm")
    p = Weights({ours: weights[theirs] for ours, theirs in CASES["slstm"][1].items()})
    x = 3 * draw(70, 40, B, E)
    output, _ = rnn(x)
    states = tuple(torch.zeros(B, rnn.hidden_size, dtype=torch.float64) for _ in range(4))
    expected = []
    for now in x:
        result, states = recent_steps.slstm(now, states, p)
        expected.append(result)
    torch.testing.assert_close(output, torch.stack(expected), rtol=1e-10, atol=1e-10)


def test_every_hand_designed_cell_has_a_step():
    by_hand = {name for name in cellzoo.list_cells() if cellzoo.entry(name).notation == "equations"}
    assert by_hand - {"rnn", "lstm", "gru"} == set(CASES)


def test_the_gru_with_the_reset_gate_before_is_the_recipe_of_nas_bench_nlp():
    """Expected numbers from that benchmark's own code: weights 0.5 sin(0.7 n + index), x = cos(0.3 n)."""
    rnn = cellzoo.rnn("gru-reset-before", 3, 4, dtype=torch.float64)
    with torch.no_grad():
        # The recipe lists r, z and the candidate; each has the matrix on x, the matrix on h, and the bias.
        for index, weight in enumerate(rnn.parameters()):
            fill = torch.arange(math.prod(weight.shape), dtype=torch.float64)
            weight.copy_((0.5 * torch.sin(0.7 * fill + index)).view(weight.shape))
    x = torch.cos(0.3 * torch.arange(3 * 2 * 3, dtype=torch.float64)).view(3, 2, 3)
    output, _ = rnn(x)
    assert output.sum().item() == pytest.approx(4.548098161763, rel=1e-9)
    expected = [0.4204913409, 0.0322212369, 0.6713386637, -0.2531701252]
    assert output[-1, 0].tolist() == pytest.approx(expected, abs=6e-11)


def test_coupled_gates_save_a_quarter_of_the_lstm():
    lstm, cifg = (cellzoo.load(name).num_parameters(input_size=E, hidden_size=H) for name in ("lstm", "cifg"))
    assert 4 * cifg == 3 * lstm

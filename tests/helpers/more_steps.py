"""One step of further hand-designed cells, written anew from the papers; see `test_steps` for the names."""

from __future__ import annotations

import torch

sigmoid, tanh, relu = torch.sigmoid, torch.tanh, torch.relu


def ugrnn(x, states, p):
    (h,) = states
    g = sigmoid(p.affine("g", x, h))
    h = g * h + (1 - g) * tanh(p.affine("c", x, h))
    return h, (h,)


def intersection(x, states, p):
    (h,) = states
    gate_y, gate_h = sigmoid(p.affine("gy", x, h)), sigmoid(p.affine("gh", x, h))
    y = gate_y * x + (1 - gate_y) * relu(p.affine("y", x, h))
    h = gate_h * h + (1 - gate_h) * tanh(p.affine("n", x, h))
    return y, (h,)


def brc(x, states, p):
    (h,) = states
    if "w_a" in p:
        a, c = p.affine("a", x) + p["w_a"] * h, p.affine("c", x) + p["w_c"] * h
    else:
        a, c = p.affine("a", x, h), p.affine("c", x, h)
    c = sigmoid(c)
    h = c * h + (1 - c) * tanh(x @ p["W_h"].T + (1 + tanh(a)) * h)
    return h, (h,)


def cfn(x, states, p):
    (h,) = states
    h = sigmoid(p.affine("f", x, h)) * tanh(h) + sigmoid(p.affine("i", x, h)) * tanh(x @ p["W_n"].T)
    return h, (h,)


def star(x, states, p):
    (h,) = states
    k = sigmoid(p.affine("k", x, h))
    h = tanh((1 - k) * h + k * tanh(p.affine("z", x)))
    return h, (h,)


def sgrn(x, states, p):
    (h,) = states
    projected = p.affine("p", x)
    f = sigmoid(projected + h @ p["U_f"].T)
    h = tanh((1 - f) * projected + f * h)
    return h, (h,)


def lstm_update(x, h, c, p):
    i, f, o = (sigmoid(p.affine(gate, x, h)) for gate in "ifo")
    c = f * c + i * tanh(p.affine("g", x, h))
    return o * tanh(c), c


def multiplicative_lstm(x, states, p):
    h, c = states
    h, c = lstm_update(x, (x @ p["W_m"].T) * (h @ p["U_m"].T), c, p)
    return h, (h, c)


def wmc_lstm(x, states, p):
    h, c = states

    def gate(name, memory):
        return sigmoid(p.affine(name, x, h) + tanh(memory @ p[f"V_{name}"].T))

    i, f = gate("i", c), gate("f", c)
    c = f * c + i * tanh(p.affine("g", x, h))
    h = gate("o", c) * tanh(c)
    return h, (h, c)


def mc_lstm(x, states, p):
    c, v = states
    f, i, o, m = (sigmoid(p.affine(gate, x, v)) for gate in "fiom")
    c = f * c + i * tanh(p.affine("n", x, v))
    return o * tanh(c), (c, m * tanh(c))


def residual_lstm(x, states, p):
    h, c = states
    i = sigmoid(p.affine("i", x, h) + p["p_i"] * c)
    f = sigmoid(p.affine("f", x, h) + p["p_f"] * c)
    c = f * c + i * tanh(p.affine("g", x, h))
    o = sigmoid(p.affine("o", x, h) + p["p_o"] * c)
    h = o * (tanh(c) @ p["P"].T + x @ p["R"].T)
    return h, (h, c)


def lstm_1997(x, states, p):
    h, c = states
    c = c + sigmoid(p.affine("i", x, h)) * tanh(p.affine("g", x, h))
    h = sigmoid(p.affine("o", x, h)) * tanh(c)
    return h, (h, c)


def t_rnn(x, states, p):
    (h,) = states
    f = sigmoid(p.affine("f", x))
    h = f * h + (1 - f) * p.affine("z", x)
    return h, (h,)


def pooled(x, before, c, p, candidate, gate):
    """What T-LSTM and QRNN have in common: all gates read x and the x before."""
    f = sigmoid(p.affine("f", x, before))
    c = f * c + (1 - f) * candidate(p.affine("z", x, before))
    return c * gate(p.affine("o", x, before)), (c, x)


def t_lstm(x, states, p):
    c, before = states
    return pooled(x, before, c, p, lambda value: value, tanh)


def qrnn(x, states, p):
    c, before = states
    return pooled(x, before, c, p, tanh, sigmoid)


def t_gru(x, states, p):
    h, before = states
    f, o = sigmoid(p.affine("f", x, before)), tanh(p.affine("o", x, before))
    h = f * h + p.affine("z", x, before) * o
    return h, (h, x)


def sru(x, states, p):
    (c,) = states
    f = sigmoid(p.affine("f", x) + p["v_f"] * c)
    r = sigmoid(p.affine("r", x) + p["v_r"] * c)
    c = f * c + (1 - f) * (x @ p["W"].T)
    return r * c + (1 - r) * (x @ p["W_x"].T), (c,)


def mingru(x, states, p):
    (h,) = states
    z = sigmoid(p.affine("z", x))
    h = (1 - z) * h + z * p.affine("n", x)
    return h, (h,)


def minlstm(x, states, p):
    (h,) = states
    f, i = sigmoid(p.affine("f", x)), sigmoid(p.affine("i", x))
    h = f / (f + i) * h + i / (f + i) * p.affine("n", x)
    return h, (h,)


def lem(x, states, p):
    y, z = states
    slow, fast = sigmoid(p.affine("y", x, y)), sigmoid(p.affine("s", x, y))
    z = (1 - fast) * z + fast * tanh(p.affine("z", x, y))
    y = (1 - slow) * y + slow * tanh(p.affine("h", x, z))
    return y, (y, z)

"""One step of cells since 2016, written anew from the papers and the authors' files; see `test_steps`."""

from __future__ import annotations

import torch

sigmoid, tanh = torch.sigmoid, torch.tanh


def hard(a):
    return torch.clamp(a / 6 + 0.5, 0, 1)


def by_blocks(x, blocks, heads):
    """The product of each part of x with its own block; the blocks stand below each other."""
    parts = zip(x.chunk(heads, 1), blocks.chunk(heads, 0), strict=True)
    return torch.cat([part @ block.T for part, block in parts], 1)


def sgu(x, states, p):
    (h,) = states
    z, g = hard(p.affine("z", x, h)), tanh(p.affine("g", None, p.affine("x", x) * h))
    h = (1 - z) * h + z * torch.logaddexp(g * h, torch.zeros_like(h))
    return h, (h,)


def tau_gru(x, states, p):
    h, *past = states
    u, z = tanh(p.affine("u", x, h)), tanh(p.affine("z", x, past[-1]))
    g, a = sigmoid(p.affine("g", x, h)), sigmoid(p.affine("a", x, h))
    after = (1 - g) * h + g * (u + a * z)
    return after, (after, h, *past[:-1])


def cornn(x, states, p):
    y, z = states
    force = tanh(torch.cat([x, z, y], 1) @ torch.cat([p["W"], p["V"], p["U"]], 1).T + p["b"])
    z = z + 0.054 * (force - 4.9 * y - 4.8 * z)
    y = y + 0.054 * z
    return y, (y, z)


def unicornn(x, states, p):
    y, z = states
    step = 0.205 / (1 + torch.exp(-p["c"]))
    z = z - step * tanh(p["w"] * y + p.affine("x", x))
    y = y + step * z
    return y, (y, z)


def cfc(x, states, p):
    (h,) = states
    backbone = 1.7159 * tanh(0.666 * p.affine("b", x, h))
    first, second = (tanh(backbone @ p[f"F_{k}"].T + p[f"f_{k}"]) for k in "12")
    at_time = sum(backbone @ p[f"T_{k}"].T + p[f"t_{k}"] for k in "12")
    gate = sigmoid(at_time)
    h = first * (1 - gate) + gate * second
    return h, (h,)


def slstm(x, states, p, heads=4):
    """Where n is 0 the stabiliser is i, as in the authors' file, but for each number by itself."""
    h, m, c, n = states
    raw = {gate: p.affine(gate, x) + by_blocks(h, p[f"R_{gate}"], heads) for gate in "ifzo"}
    kept = m + torch.nn.functional.logsigmoid(raw["f"])
    stabiliser = torch.where(n == 0, raw["i"], torch.maximum(raw["i"], kept))
    i, f = torch.exp(raw["i"] - stabiliser), torch.exp(kept - stabiliser)
    c, n = f * c + i * tanh(raw["z"]), f * n + i
    h = sigmoid(raw["o"]) * c / n
    return h, (h, stabiliser, c, n)


def rg_lru(x, states, p, heads=4):
    """A step is the first of its sequence where the second state is 0."""
    h, seen = states
    u = x @ p["W"].T
    gate_a, gate_x = (sigmoid(by_blocks(u, p[f"D_{k}"], heads) + p[f"d_{k}"]) for k in "ax")
    log_a = -8 * gate_a * torch.logaddexp(p["radius"], torch.zeros_like(p["radius"]))
    scale = torch.sqrt(1 - torch.exp(2 * log_a))
    scale = (1 - seen) + seen * scale
    h = torch.exp(log_a) * h + u * gate_x * scale
    return h, (h, torch.ones_like(seen))


def hgrn(x, states, p):
    (h,) = states
    f = torch.nn.functional.logsigmoid(x @ p["W_f"].T)
    h = torch.exp(f) * h + torch.nn.functional.silu(x @ p["W_i"].T) * (1 - torch.exp(f))
    return h, (h,)

"""Equations: what is written is what the cell computes."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from cell_strategies import cells
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from read_equations import work_out
from scipy.linalg import block_diag

import cellzoo
from cellzoo.cells.cell import Cell
from cellzoo.cells.graph import Node, State, linear
from cellzoo.draw import equations, latex, symbols
from cellzoo.runtime.reference import ReferenceRuntime

BATCH = 3
NAMES = cellzoo.list_cells()


def check_step(cell, inputs, units, seed):
    """Work out one step by the equations and by the reference runtime, which must agree.

    Returns whether it could be compared: where a division by nearly nothing blew up, rounding decides.
    """
    generator = np.random.default_rng(seed)
    shapes = cell.parameter_shapes(input_size=inputs, hidden_size=units)
    weights = {name: generator.uniform(-1, 1, shape) for name, shape in shapes.items()}
    x = generator.uniform(-1, 1, (BATCH, inputs))
    states = {
        state.name: generator.uniform(-1, 1, (BATCH, inputs if state.width == "input" else units))
        for state in cell.states
    }
    output, after = ReferenceRuntime(cell)(
        torch.from_numpy(x),
        [BATCH],
        [torch.from_numpy(value) for value in states.values()],
        {name: torch.from_numpy(value) for name, value in weights.items()},
    )
    values = {"x": x.T, **{name: value.T for name, value in states.items()}}
    heads = {weight: node.heads for node in cell.live_nodes for weight in node.weights}
    for symbol, weight in symbols(cell).items():
        assert symbol not in values
        value = block_diag(*np.split(weights[weight], heads.get(weight, 1)))
        value = value if weights[weight].ndim == 2 else weights[weight]
        values[symbol] = value if value.ndim == 2 else value[:, None]
    with np.errstate(all="ignore"):
        found = work_out(equations(cell), values)
    wanted = {f"{state.name}'": value for state, value in zip(cell.states, after, strict=True)}
    first_output = next((state.name for state in cell.states if state.next == cell.output), "")
    wanted["output" if first_output != cell.states[0].name else f"{first_output}'"] = output
    if not all(value.abs().max() < 1e6 for value in wanted.values()):
        return False
    for name, value in wanted.items():
        truth = value.numpy().T
        np.testing.assert_allclose(np.broadcast_to(found[name], truth.shape), truth, rtol=1e-9, atol=1e-12)
    return True


@pytest.mark.parametrize("name", NAMES)
def test_equations_of_the_zoo_compute_the_cell(name):
    cell = cellzoo.load(name)
    needs_one_size = any(node.op == "recast" for node in cell.live_nodes)
    assert check_step(cell, 4 if needs_one_size else 3, 4, seed=0)


@given(cells(max_nodes=14), st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None)
def test_equations_of_any_cell_compute_the_cell(cell, seed):
    assume(check_step(cell, 3, 4, seed))


def test_each_weight_has_one_symbol():
    for name in NAMES:
        cell = cellzoo.load(name)
        shapes = cell.parameter_shapes(input_size=4, hidden_size=4)
        assert sorted(symbols(cell).values()) == sorted(shapes), name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rnn", "h' = tanh(W x + U h + b)\n"),
        (
            "lstm",
            "i = sigmoid(W_i x + U_i h + b_i)\nf = sigmoid(W_f x + U_f h + b_f)\n"
            "g = tanh(W_g x + U_g h + b_g)\no = sigmoid(W_o x + U_o h + b_o)\n"
            "c' = f * c + i * g\nh' = o * tanh(c')\n",
        ),
        (
            "gru",
            "r = sigmoid(W_r x + U_r h + b_r)\nz = sigmoid(W_z x + U_z h + b_z)\n"
            "n = tanh(W_n x + b_n + r * (U_n h + b2_n))\nh' = z * h + (1 - z) * n\n",
        ),
    ],
)
def test_equations_read_as_people_write_them(name, text):
    assert equations(cellzoo.load(name)) == text


def test_a_darts_node_takes_two_lines():
    lines = equations(cellzoo.load("darts-v2")).splitlines()
    assert lines[2:4] == ["gate1 = sigmoid(W_gate1 s0)", "s1 = gate1 * sigmoid(W_s1 s0) + (1 - gate1) * s0"]
    assert len(lines) == 2 * 9 + 1


def test_what_states_and_the_output_take_is_said():
    nodes = (linear("a", "x", "h"), Node("y", "tanh", ("a",)))
    states = (State("h", "y"), State("c", "y"), State("d", "h"), State("x1", "x", "input"))
    assert equations(Cell(states, nodes, "a")) == (
        "a = W x + U h + b\nh' = tanh(a)\nc' = h'\nd' = h\nx1' = x\noutput = a\n"
    )


def test_symbols_never_are_names_of_values():
    nodes = (linear("W", "x", "h"), Node("b", "tanh", ("W",)), Node("p", "vector", (), ("b",)),
             Node("y", "multiply", ("b", "p")))  # fmt: skip
    cell = Cell((State("h", "y"),), nodes, "y")
    assert equations(cell) == "b = tanh(U x + V h + b2)\nh' = b * b_1\n"
    assert symbols(cell) == {"U": "W_x", "V": "W_h", "b2": "W_b", "b_1": "b"}


@pytest.mark.parametrize(
    "text",
    [
        "h' = linear(x) - (h - tanh(linear(h)))",
        "h' = linear(x) - (h + tanh(linear(h))) - 1",
        "h' = linear(x) / (h / (1 + h)) / (h * tanh(h))",
        "h' = h * (linear(x) + 1) * (h - linear(h; bias=no)) * linear(x; bias=no)",
        "h' = tanh(linear(sigmoid(h - linear(x)) * h)) / linear(h; bias=no)",
        "z = sigmoid(linear(x))\nh' = blend(z, h - z, mean(z, h, h + z)) - blend(z, h, z)",
        "h' = minimum(h - linear(x), mean(h)) * (mean(h, h) - 1)",
        "h' = linear(linear(x; width=7); bias=no) - leaky_relu(h) * 0",
    ],
)
def test_nested_equations_compute_the_cell(text):
    assert check_step(cellzoo.parse(text, "equations"), 3, 4, seed=2)


def test_a_long_sum_is_broken_up():
    text = "h' = " + " + ".join(f"tanh(linear(x, h)) * {k % 2}" for k in range(60))
    found = equations(cellzoo.parse(text, "equations"))
    assert max(map(len, found.splitlines())) < 600
    assert check_step(cellzoo.parse(text, "equations"), 3, 4, seed=1)


def check_latex(cell, text):
    rows = text.splitlines()
    assert (rows[0], rows[-1]) == (r"\begin{aligned}", r"\end{aligned}")
    assert len(rows) - 2 == len(equations(cell).splitlines())
    assert all(row.endswith(r" \\") for row in rows[1:-2])
    for row in rows[1:-1]:
        assert row.count(" &= ") == 1
        assert row.count("{") == row.count("}")
        assert row.count(r"\left(") == row.count(r"\right)")
        assert set(re.findall(r"\\([A-Za-z]+)", row)) <= {
            "sigma", "tanh", "exp", "min", "max", "mathrm", "mathbf", "left", "right", "odot", "frac", "cdot",
        }  # fmt: skip
        # An underscore is an index or escaped; a caret is an index.
        assert not re.search(r"(?<!\\)_(?!\{)|\^(?!\{)", row)


def test_latex_of_the_lstm():
    assert latex(cellzoo.load("lstm")) == (
        "\\begin{aligned}\n"
        "i &= \\sigma\\left(W_{i} x_{t} + U_{i} h_{t-1} + b_{i}\\right) \\\\\n"
        "f &= \\sigma\\left(W_{f} x_{t} + U_{f} h_{t-1} + b_{f}\\right) \\\\\n"
        "g &= \\tanh\\left(W_{g} x_{t} + U_{g} h_{t-1} + b_{g}\\right) \\\\\n"
        "o &= \\sigma\\left(W_{o} x_{t} + U_{o} h_{t-1} + b_{o}\\right) \\\\\n"
        "c_{t} &= f \\odot c_{t-1} + i \\odot g \\\\\n"
        "h_{t} &= o \\odot \\tanh\\left(c_{t}\\right)\n"
        "\\end{aligned}\n"
    )


@given(cells(max_nodes=14))
@settings(max_examples=60, deadline=None)
def test_latex_of_any_cell_is_well_formed(cell):
    check_latex(cell, latex(cell))


@pytest.mark.parametrize("name", [*NAMES[::8], "nascell", "fastgrnn", "mogrifier-lstm", "peephole-lstm"])
def test_latex_is_read_by_another_program(name):
    mathtext = pytest.importorskip("matplotlib.mathtext", reason="matplotlib reads LaTeX here")
    cell = cellzoo.load(name)
    text = latex(cell)
    check_latex(cell, text)
    parser = mathtext.MathTextParser("path")
    for row in text.splitlines()[1:-1]:
        parser.parse(f"${row.removesuffix(chr(92) * 2).replace('&', '')}$")


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("s3", "s_{3}"),
        ("node_12", r"\mathrm{node}_{12}"),
        ("a_b_c", r"\mathrm{a\_b\_c}"),
        ("_private9", r"\mathrm{\_private}_{9}"),
        ("h1x2", r"\mathrm{h1x2}"),
    ],
)
def test_names_in_latex(name, written):
    cell = Cell((State("h", "y"),), (linear(name, "x", "h"), Node("y", "multiply", (name, name))), "y")
    assert latex(cell).splitlines()[1].startswith(f"{written} &= ")


@pytest.mark.parametrize(
    ("value", "written"),
    [(1e-5, "10^{-5}"), (-1e-5, "-10^{-5}"), (2.5e-7, r"2.5 \cdot 10^{-7}"), (0.25, "0.25")],
)
def test_a_number_in_latex_is_not_a_product_with_e(value, written):
    nodes = (linear("a", "x", "h"), Node("c", "constant", value=value), Node("y", "maximum", ("a", "c")))
    text = latex(Cell((State("h", "y"),), nodes, "y"))
    check_latex(Cell((State("h", "y"),), nodes, "y"), text)
    assert f", {written}" in text


def test_a_long_chain_of_nodes_without_names_takes_several_lines():
    """Such as a network of a search with a thousand nodes; equations nest to a limited depth."""
    chain = [Node(f"h_{step}", "tanh", (f"h_{step - 1}",)) for step in range(1, 990)]
    cell = Cell((State("h", "h_989"),), (linear("h_0", "x", "h"), *chain), "h_989")
    lines = equations(cell).splitlines()
    assert sum(line.count("tanh(") for line in lines) == 989
    assert max(line.count("tanh(") for line in lines) < 20
    assert latex(cell).count("tanh") == 989

"""Equations: written for any cell, shared weights, widths, and faults of these."""

from __future__ import annotations

import random

import pytest
from cell_strategies import cells
from hypothesis import given, settings

import cellzoo
from cellzoo.cells.cell import Cell
from cellzoo.cells.graph import Node, State, linear
from cellzoo.errors import CellError, NotationError
from cellzoo.families import draw_random_darts
from cellzoo.notations import equations, fenas, nas_bench_nlp


def round_trip(cell: Cell) -> str:
    text = equations.write(cell)
    again = equations.parse(text)
    assert again.hash == cell.hash
    assert equations.write(again) == text
    return text


@given(cells())
@settings(max_examples=400, deadline=None)
def test_any_cell_is_written_and_read_as_itself(cell):
    round_trip(cell)


def test_every_cell_of_the_zoo_is_written_and_read_as_itself():
    for name in cellzoo.list_cells():
        round_trip(cellzoo.load(name))


def test_random_members_of_the_spaces_are_written_and_read_as_themselves():
    generator = random.Random(5)
    for seed in range(80):
        round_trip(cellzoo.parse(draw_random_darts(seed), "darts"))
        round_trip(fenas.parse(fenas.sample(generator)))
        round_trip(nas_bench_nlp.parse(nas_bench_nlp.sample(generator)))


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
def test_what_a_person_wrote_is_written_alike(name):
    assert equations.write(cellzoo.load(name)) == cellzoo.entry(name).genotype.lstrip()


def test_a_darts_cell_reads_well():
    genotype = "Genotype(recurrent=[('relu', 0)], concat=[1])"
    assert equations.write(cellzoo.parse(genotype, "darts")).splitlines() == [
        "gate0 = sigmoid(linear(x, h; bias=no))",
        "cand0 = tanh(linear(x, h; bias=no))",
        "s0 = blend(gate0, cand0, h)",
        "gate1 = sigmoid(linear(s0; bias=no))",
        "cand1 = relu(linear(s0; bias=no))",
        "s1 = blend(gate1, cand1, s0)",
        "h' = mean(s1)",
    ]


A_WIDE = State("d", "d", "input")


@pytest.mark.parametrize(
    "cell",
    [
        # A delayed input, and one whose width nothing but its declaration says.
        Cell((State("h", "a"), State("x1", "x", "input")), (linear("a", "x", "x1", "h"),), "a"),
        Cell((A_WIDE, State("h", "a")), (linear("a", "x", "d", "h"),), "a"),
        Cell(
            (State("h", "a"), State("e", "m", "input"), State("x1", "x", "input")),
            (Node("m", "mean", ("e", "x1")), linear("a", "x", "m", "h")),
            "a",
        ),
        # h is not first; names that the text needs for something else.
        Cell(
            (State("c", "o"), State("h", "s1"), State("output", "c"), State("h_next", "s1")),
            (linear("s1", "x", "c", "h"), Node("o", "tanh", ("s1",)), Node("c_next", "relu", ("s1",))),
            "c_next",
        ),
        Cell((State("s" * 64, "n" * 64),), (linear("n" * 64, "x", "s" * 64),), "n" * 64),
        # The order of the states is not the order in which their next values are known.
        Cell(
            (State("h", "a"), State("b", "c1"), State("c", "a")),
            (linear("a", "x", "c"), linear("c1", "a")),
            "a",
        ),
        # Weights that share a name with what another node calls its own, or that no token can be.
        Cell(
            (State("h", "a"),),
            (
                Node("a_1", "linear", ("x", "h"), ("p", "a_0"), "a_b"),
                Node("a", "linear", ("a_1", "h"), ("a_0", "a_1_0"), "a_b"),
                Node("q", "linear", ("a", "h"), ("q_1", "a_1_0"), "é"),
                Node("r", "linear", ("q", "h"), ("q_1", "r_1"), "é"),
                Node("y", "multiply", ("r", "a")),
            ),
            "y",
        ),
        # One matrix twice in one product; a constant that two nodes read; weights of each kind and width.
        Cell(
            (State("h", "y"),),
            (
                Node("u", "linear", ("h", "h", "x"), ("yes", "yes", "w"), None, "7"),
                Node("one", "one", width="7"),
                Node("p", "vector", (), ("p",), width="7"),
                Node("v", "subtract", ("one", "u")),
                Node("w", "add", ("v", "one", "p")),
                Node("y", "linear", ("w", "u"), ("no", "no"), "yes_b"),
            ),
            "y",
        ),
        Cell((State("h", "r"),), (Node("r", "recast", ("x",)),), "r"),
        Cell((State("h", "y"),), (linear("a", "x", "h"), Node("y", "add", ("a",))), "y"),
    ],
)
def test_odd_cells_are_written_and_read_as_themselves(cell):
    round_trip(cell)


def test_a_chain_of_operations_keeps_its_brackets():
    text = "a = linear(x)\nb = linear(h)\nh' = a - (b - a) - a / (b / a) * (a + b)\n"
    assert round_trip(equations.parse(text)) == text


def test_a_single_matrix_and_a_bias_are_shared_by_name():
    found = equations.parse("a = linear(x: A, h; bias=b)\nc = linear(x: A, a; bias=b)\nh' = linear(c; bias=b)")
    assert found.parameter_shapes(input_size=3, hidden_size=5) == {
        "A": (5, 3),
        "a_1": (5, 5),
        "b": (5,),
        "c_1": (5, 5),
        "h_next_0": (5, 5),
    }


def test_naming_all_weights_together_is_naming_each():
    together = "z = sigmoid(linear[W](x, h))\nh' = z * linear[W](x, h)"
    each = "z = sigmoid(linear(x: P, h: Q; bias=b))\nh' = z * linear(x: P, h: Q; bias=b)"
    assert equations.parse(together).hash == equations.parse(each).hash
    assert equations.write(equations.parse(each)) == together.replace("W", "P") + "\n"


def test_a_width_may_be_declared_where_it_follows_anyway():
    text = "x1'[input] = x\nh'[hidden] = linear(x, x1, h)"
    assert equations.parse(text).hash == equations.parse("x1' = x\nh' = linear(x, x1, h)").hash


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("h' = linear(x: 3)", "line 1: column 16: found '3', expected a name for the weight"),
        ("h' = linear(x: )", r"found '\)', expected a name for the weight"),
        ("h' = linear[W](x: V)", r"column 17: found ':', expected ',', ';' or '\)' since \[W\] names all"),
        ("h' = tanh(linear(x): V)", "found ':', expected ',' or '\\)' since only linear has weights"),
        ("h' = linear(x; bias=b, bias=c)", "found 'bias', expected width"),
        ("a = linear(x)\nh' = linear(a: a_0)", "line 2: the weight name 'a_0' is also the generated name"),
        ("W = linear(x)\nV = linear[W](x)\nh' = linear(V)", "line 2: the weight name 'W_0' is also the"),
        ("d'[wide] = x\nh' = linear(x)", r"line 1: column 4: found 'wide', expected a state's next value"),
        (
            "d[input] = tanh(x)\nh' = linear(d)",
            "line 1: column 3: found 'input', expected a state's next value",
        ),
        ("d'[input] = linear(x)\nh' = d", "d' is declared to have the input width, but .* the hidden width"),
        ("d'[hidden] = x\nh' = linear(d)", "d' is declared to have the hidden width, but .* the input width"),
        ("output' = tanh(linear(x, output))", "line 1: 'output' is reserved for the cell's output"),
        ("d'[input", "expected NAME = EXPRESSION"),
        ("h' = vector[p; height=2] * linear(x)", "found 'height', expected 'width'"),
        ("h' = one + linear(x)", "unknown value 'one'"),
        ("h' = one[] + linear(x)", "found ']', expected 'width'"),
        ("a = linear(x)\nh' = a" + " + a" * 200, "more than 100 nested operations"),
        ("a = linear(x)\nh' = a" + " * a" * 200, "more than 100 nested operations"),
        ("a = linear(x)\nh' = " + "tanh(" * 70 + "a" + ")" * 70, "nested deeper than 60"),
    ],
)
def test_faults_are_named(text, message):
    with pytest.raises(NotationError, match=message) as caught:
        equations.parse(text)
    assert "\n" not in str(caught.value)


def test_a_name_for_matrices_of_two_shapes_is_the_graphs_error():
    with pytest.raises(CellError, match="'W' is a matrix on a value of the input width here"):
        equations.parse("a = linear(h: W)\nh' = linear(x: W, a)")


def test_a_cell_too_long_for_the_notation_is_refused():
    nodes = [linear("a0", "x", "h")]
    nodes += [linear(f"a{k}", *(f"a{j}" for j in range(max(0, k - 9), k))) for k in range(1, 500)]
    cell = Cell((State("h", "a499"),), tuple(nodes), "a499")
    with pytest.raises(NotationError, match="characters in this notation; at most 20000"):
        equations.write(cell)


def test_numbers_and_signs():
    cell = cellzoo.parse("h' = -8 * tanh(linear(x, h)) + 1e-3 * h - 0.5 / (-h) + .25 * 1.0 - 0", "equations")
    values = {node.value for node in cell.nodes if node.op == "constant"}
    assert values == {-8.0, 1e-3, 0.5, 0.25}
    assert {node.op for node in cell.nodes} >= {"zero", "one"}
    text = round_trip(cell)
    assert "-8 * tanh(linear(x, h))" in text
    assert "0.001 * h" in text


def test_numbers_are_part_of_the_meaning():
    texts = ("h' = 0.5 * tanh(linear(x, h))", "h' = 0.25 * tanh(linear(x, h))")
    hashes = {cellzoo.parse(text, "equations").hash for text in (*texts, "h' = tanh(linear(x, h)) * 0.50")}
    assert len(hashes) == 2


def test_a_number_beside_x_and_heads():
    text = "y = 0.5[width=input] * x\nh' = tanh(linear(y) + linear(h; bias=no, heads=4))"
    cell = cellzoo.parse(text, "equations")
    assert cell.heads == 4
    assert round_trip(cell).count("0.5[width=input]") == 1
    assert cell.hash != cellzoo.parse(text.replace(", heads=4", ""), "equations").hash


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("h' = 1e999 * tanh(linear(x, h))", "column 6: 1e999 is out of range"),
        ("h' = 1e31 * linear(x, h)", "out of range; expected 0, or a number from 1e-30 to 1e[+]30"),
        ("h' = 1e-31 * linear(x, h)", "out of range"),
        ("h' = --linear(x, h)", "column 7: found '-', expected a value"),
        ("h' = 1.2.3 * linear(x, h)", "column 9: found '.3'"),
        ("h' = tanh(linear(x, h; heads=0))", "found '0', expected a number of heads"),
        ("h' = tanh(linear(x, h; heads=x))", "found 'x', expected a number of heads"),
        ("h' = tanh(linear(x, h; heads=99999999999))", "expected a number of heads"),
        ("h' = tanh(linear(x, h; heads=2, heads=2))", "found 'heads', expected bias or width"),
    ],
)
def test_numbers_and_heads_that_are_wrong(text, message):
    with pytest.raises(NotationError, match=message):
        cellzoo.parse(text, "equations")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300, 0.0, 1.0, None])
def test_constants_that_a_graph_cannot_have(value):
    node = Node("c", "constant", value=value)
    product = Node("n", "multiply", ("c", "a"))
    with pytest.raises(CellError, match="constant"):
        Cell((State("h", "n"),), (node, linear("a", "x", "h"), product), "n")

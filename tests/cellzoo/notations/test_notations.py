"""DARTS genotypes and equations: what is read, and how faults are named."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cellzoo
from cellzoo.errors import CellError, CellzooError, NotationError, UnknownNameError
from cellzoo.notations import NOTATIONS
from cellzoo.notations.darts import OPERATIONS, Genotype, read_genotype

GOOD = "Genotype(recurrent=[('relu', 0), ('tanh', 1)], concat=range(1, 3))"


@pytest.mark.parametrize(
    "source",
    [
        GOOD,
        GOOD.replace("range(1, 3)", "[1, 2]"),
        "{'recurrent': [['relu', 0], ['tanh', 1]], 'concat': [1, 2]}",
        json.dumps({"recurrent": [["relu", 0], ["tanh", 1]], "concat": [1, 2]}),
        {"recurrent": [["relu", 0], ["tanh", 1]], "concat": range(1, 3)},
        Genotype((("relu", 0), ("tanh", 1)), (1, 2)),
    ],
)
def test_text_and_data_give_one_genotype(source):
    assert read_genotype(source) == Genotype((("relu", 0), ("tanh", 1)), (1, 2))
    assert cellzoo.parse(source, "darts").hash == cellzoo.parse(GOOD, "darts").hash


@st.composite
def genotypes(draw):
    steps = draw(st.integers(1, 12))
    edges = tuple((draw(st.sampled_from(OPERATIONS)), draw(st.integers(0, step))) for step in range(steps))
    concat = draw(st.lists(st.integers(0, steps), min_size=1, unique=True))
    return Genotype(edges, tuple(concat))


@given(genotypes())
@settings(max_examples=200, deadline=None)
def test_writing_and_reading_a_genotype_gives_it_back(genotype):
    assert read_genotype(str(genotype)) == genotype


@given(genotypes())
@settings(max_examples=50, deadline=None)
def test_parameters_of_live_darts_nodes(genotype):
    """Each node that the mean depends on has one (H, 2 H) matrix, the first (D + H, 2 H)."""
    live = set(genotype.concat)
    for step in range(len(genotype.recurrent), 0, -1):
        if step in live:
            live.add(genotype.recurrent[step - 1][1])
    count = cellzoo.parse(genotype, "darts").num_parameters(input_size=3, hidden_size=5)
    assert count == (3 + 5) * 10 + len(live - {0}) * 5 * 10


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Genotype(recurrent=[('relu', 1)], concat=[1])", "node 1: predecessor 1 does not exist yet; only 0"),
        ("Genotype(recurrent=[('relu', 0), ('relu', 2)], concat=[1])", "node 2: predecessor 2.*0 to 1 exist"),
        (
            "Genotype(recurrent=[('relu', -1)], concat=[1])",
            "node 1: predecessor '-1' does not exist yet; only 0 exists",
        ),
        ("Genotype(recurrent=[('relu', True)], concat=[1])", "predecessor True"),
        (
            "Genotype(recurrent=[('rleu', 0)], concat=[1])",
            "node 1: unknown operation 'rleu'. Did you mean 'relu'",
        ),
        ("Genotype(recurrent=[('none', 0)], concat=[1])", "'none' is an operation of the search"),
        ("Genotype(recurrent=[('relu',)], concat=[1])", r"not a pair \(op, predecessor\)"),
        ("Genotype(recurrent=[], concat=[1])", "at least one"),
        ("Genotype(recurrent=[('relu', 0)], concat=[])", "at least one state"),
        ("Genotype(recurrent=[('relu', 0)], concat=[2])", "concat names state 2; the states are 0 to 1"),
        ("Genotype(recurrent=[('relu', 0)], concat=[1, 1])", "names a state twice"),
        ("Genotype(recurrent=[('relu', 0)])", "lacks 'concat'"),
        ("Genotype(recurrent=[('relu', 0)], concat=[1], normal=[])", "unknown part 'normal'"),
        ("Genotype(recurrent=[('relu', 0)], concat=range(10**9))", r"out of|not part"),
        ("Genotype(recurrent=[('relu', 0)], concat=range(1, 1000000))", "out of"),
        ("Genotype(recurrent=[('relu', 0)", "line 1"),
        ("__import__('os').system('true')", "not part of a genotype"),
        ("", "the text is empty; expected Genotype"),
        ("42", "expected Genotype"),
        ("(" * 5000, "Genotype"),
        ("[" * 15_000 + "]" * 4_000, "Genotype"),
        ("x" * 30_000, "at most 20000"),
        ("\0", "Genotype"),
    ],
)
def test_faults_of_a_genotype_are_named(text, message):
    with pytest.raises(NotationError, match=message) as caught:
        cellzoo.parse(text, "darts")
    assert "\n" not in str(caught.value)


def test_equations_of_an_elman_cell_equal_the_graph():
    named = cellzoo.parse("a = linear(x, h)\nh' = tanh(a)", "equations")
    assert named.hash == cellzoo.load("rnn").hash


def test_equations_of_a_darts_cell_are_that_cell():
    text = """
    c = sigmoid(linear(x, h; bias=no))       # the gate of s0
    s0 = blend(c, tanh(linear(x, h; bias=no)), h)
    s1 = blend(sigmoid(linear(s0; bias=no)), relu(linear(s0; bias=no)), s0)
    h' = mean(s1)
    """
    genotype = "Genotype(recurrent=[('relu', 0)], concat=[1])"
    assert cellzoo.parse(text, "equations").hash == cellzoo.parse(genotype, "darts").hash


def test_precedence_constants_sharing_and_output():
    found = cellzoo.parse(
        "z = sigmoid(linear[W](x))\nq = linear[W](x)\nh' = (1 - z) * q + z * h\noutput = tanh(h')", "equations"
    )
    assert [state.name for state in found.states] == ["h"]
    assert found.num_parameters(input_size=3, hidden_size=5) == 3 * 5 + 5
    assert found.output == "output"
    by_name = {node.name: node for node in found.nodes}
    total = by_name["h_next"]
    assert total.op == "add"
    assert [by_name[source].op for source in total.inputs] == ["multiply", "multiply"]


def test_a_linear_of_the_inputs_width_changes_x_itself():
    found = cellzoo.parse(
        "q = linear(h; width=input, bias=no)\nh' = linear(sigmoid(q) * x; bias=yes, width=hidden)", "equations"
    )
    assert found.parameter_shapes(input_size=3, hidden_size=5) == {
        "q_0": (3, 5),
        "h_next_0": (5, 3),
        "h_next_b": (5,),
    }


def test_states_are_ordered_with_h_first():
    found = cellzoo.parse("b' = linear(x, b)\nc' = linear(b)\nh' = tanh(c')", "equations")
    assert [state.name for state in found.states] == ["h", "b", "c"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("# only a comment", "empty"),
        ("h' = tanh(linear(x, g))", "line 1: column 21: unknown value 'g'"),
        ("\nh' = tanhh(x)", "line 2: column 6: unknown function 'tanhh'. Did you mean 'tanh'"),
        ("h' = tanh(a)\na = linear(x)", "'a' does not exist yet"),
        ("h' = tanh(h')", "'h'' does not exist yet|does not exist yet"),
        ("h' = tanh(linear(x)", r"found the end of the line, expected '\)'"),
        ("h' = tanh(x, h)", r"tanh takes 1 value\(s\), not 2"),
        ("h' = linear(x) $ 2", r"column 16: '\$' is not part"),
        ("h' = * linear(x)", "found '\\*', expected a value"),
        ("h = linear(x)\nh' = h", "line 1: .*'h' is the input or a state"),
        ("x = linear(x)\nh' = x", "'x' is the input or a state"),
        ("a = linear(x)\na = linear(x)\nh' = a", "line 2: 'a' is defined twice"),
        ("a = linear(x)", "no state"),
        ("h'", "expected NAME = EXPRESSION"),
        ("h' = tanh[W](x)", "only linear has weights to share"),
        ("h' = linear(x; bias=7)", "found '7', expected yes, no or a name for the bias"),
        ("h' = linear(x; wide=yes)", "found 'wide', expected bias or width"),
        ("h' = linear(x; width=wide)", "found 'wide', expected hidden, input or a number"),
        ("h' = linear(x; bias=no, bias=no)", "column 25: found 'bias', expected width"),
        ("h' = linear(x; bias=no,)", "found '\\)', expected width"),
        ("h' = tanh(linear(x); bias=no)", "found ';', expected '\\)'"),
        ("h' = " + "(" * 100 + "x" + ")" * 100, "nested deeper"),
        ("h' = linear(x) linear(x)", "expected an operator"),
        ("h' = linear(x)\n" + "y" * 30_000, "at most 20000"),
    ],
)
def test_faults_of_equations_are_named(text, message):
    with pytest.raises(NotationError, match=message) as caught:
        cellzoo.parse(text, "equations")
    assert "\n" not in str(caught.value)


def test_a_product_too_wide_for_its_state_is_the_graphs_error():
    with pytest.raises(CellError, match="mixes"):
        cellzoo.parse("h' = linear(x) + x", "equations")


def test_unknown_notation():
    with pytest.raises(UnknownNameError, match="Did you mean 'darts'"):
        cellzoo.parse(GOOD, "dart")


SEEDS = {"darts": GOOD, "equations": cellzoo.entry("lstm").genotype}


@pytest.mark.parametrize("notation", SEEDS)
@given(data=st.data())
@settings(max_examples=400, deadline=None)
def test_mutated_text_gives_a_cell_or_one_clear_error(notation, data):
    text = SEEDS[notation]
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        stop = data.draw(st.integers(start, min(len(text), start + 6)))
        pieces = st.sampled_from(
            ["(", ")", "[", "'", "h'", "=", "-1", "9" * 30, "\n", ", ", "relu", "x", "\0", "é"]
        )
        text = text[:start] + data.draw(pieces | st.text(max_size=3)) + text[stop:]
    try:
        answer = cellzoo.parse(text, notation).hash
    except CellzooError as error:
        answer = str(error)
    assert answer
    assert "\n" not in answer


@pytest.mark.parametrize("notation", NOTATIONS)
def test_data_that_cannot_be_printed_is_refused(notation):
    deep = []
    for _ in range(100_000):
        deep = [deep]
    for source in (deep, {"recurrent": [["tanh", 10**5000]], "concat": [1]}, {"h_new_0": deep}):
        with pytest.raises(NotationError) as caught:
            cellzoo.parse(source, notation)
        assert len(str(caught.value)) < 400

"""The graph: validation, JSON, canonical form and hash, counts."""

from __future__ import annotations

import dataclasses
import json
import random

import pytest
import torch
from cell_strategies import cells, disguise
from hypothesis import given, settings
from hypothesis import strategies as st

import cellzoo
from cellzoo.cells.canonical import canonical_form
from cellzoo.cells.cell import Cell
from cellzoo.cells.graph import Node, State, linear
from cellzoo.errors import CellError

ELMAN = Cell((State("h", "y"),), (linear("a", "x", "h"), Node("y", "tanh", ("a",))), "y", name="elman")


H_IS_Y = (State("h", "y"),)


def cell(*nodes, states=H_IS_Y, output="y"):
    return Cell(tuple(states), tuple(nodes), output, name="mine")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: cell(), "has no nodes"),
        (lambda: cell(linear("y", "x"), states=()), "no state of the hidden width"),
        (lambda: cell(Node("y", "tanh", ("y",))), "'y': reads itself"),
        (lambda: cell(Node("y", "tanh", ("z",)), linear("z", "x")), r"'y': reads 'z'.*comes later"),
        (lambda: cell(Node("y", "tanh", ("q",))), "reads 'q', which does not exist$"),
        (lambda: cell(Node("y", "tanhh", ("x",))), "Did you mean 'tanh'"),
        (lambda: cell(Node("y", "blend", ("x", "h"))), r"blend takes 3 input\(s\), not 2"),
        (lambda: cell(Node("y", "mean", ())), "mean needs at least one input"),
        (lambda: cell(linear("y", "x"), linear("y", "h")), "'y' is used twice"),
        (lambda: cell(linear("x", "h")), "'x' is used twice"),
        (lambda: cell(linear("y/../z", "x")), "is not a letter"),
        (lambda: cell(linear("y", "x"), output="z"), "the output 'z' is not a node"),
        (lambda: cell(linear("y", "x"), states=[State("h", "z")]), "takes the value 'z', which does not exist"),
        (lambda: cell(linear("y", "h")), "depends on the input x"),
        (lambda: cell(linear("a", "x"), Node("y", "add", ("a", "x"))), "'y': add mixes"),
        (lambda: cell(Node("y", "tanh", ("x",))), "takes 'y', which has the input width"),
        (lambda: cell(Node("y", "linear", ("x",), (), None)), r"needs 1 weight name\(s\) here, not 0"),
        (
            lambda: cell(Node("y", "linear", ("x", "h"), ("w", "w"))),
            "hidden width here and a matrix on a value of the input",
        ),
        (lambda: cell(Node("y", "linear", ("x",), ("w",), "w")), "is a bias here and a matrix"),
        (lambda: cell(linear("a", "x"), Node("y", "tanh", ("a",), ("w",))), r"tanh needs 0 weight name\(s\)"),
        (lambda: cell(Node("y", "linear", ("x",), ("w",), width="wide")), "width is 'wide'; expected hidden"),
        (
            lambda: cell(linear("a", "x"), Node("y", "tanh", ("a",), width="input")),
            "'y': width is 'input'; tanh takes it from its inputs",
        ),
        (
            lambda: cell(Node("y", "linear", ("x",), ("w",), width="0")),
            "width is '0'; expected hidden, input, or",
        ),
        (lambda: cell(Node("y", "linear", ("x",), ("w",), width="200000")), "expected hidden, input, or 1 to"),
        (lambda: cell(Node("y", "linear", ("x",), ("w",), width="3")), "takes 'y', which has the 3 width"),
        (
            lambda: cell(Node("q", "linear", ("x",), ("w",), width="3"), Node("y", "recast", ("q",))),
            "recast reads 'q', which has the 3 width; expected hidden or input",
        ),
        (lambda: cell(Node("y", "recast", ("h",)), linear("a", "x")), "takes 'y', which has the input width"),
        (lambda: cell(Node("y", "linear", ("h",), ("w",), width="input")), "the output has the hidden width"),
        (
            lambda: cell(
                Node("q", "linear", ("h",), ("w",), width="input"), Node("y", "linear", ("h",), ("w",))
            ),
            "'w' is a matrix on a value of the hidden width here and .* that gives the input width before",
        ),
    ],
)
def test_invalid_graphs_are_refused_by_name(build, message):
    with pytest.raises(CellError, match=message) as caught:
        build()
    assert "\n" not in str(caught.value)


def test_a_graph_of_too_many_nodes_is_refused():
    nodes = [linear("n0", "x"), *(Node(f"n{k}", "tanh", (f"n{k - 1}",)) for k in range(1, 1001))]
    with pytest.raises(CellError, match="1001 nodes"):
        Cell((State("h", "n5"),), tuple(nodes), "n5")


def test_a_graph_of_too_many_inputs_is_refused():
    nodes = (linear("u", "x", "h"), Node("h_next", "add", ("u",) * 20_000))
    with pytest.raises(CellError, match="20002 inputs together; at most 20000"):
        Cell((State("h", "h_next"),), nodes, "h_next")


@pytest.mark.parametrize(
    "build",
    [
        lambda long: Cell((State("h", long),), (linear("u", "x", "h"),), "u"),
        lambda long: Cell((State("h", "u"),), (linear("u", "x", "h"),), long),
        lambda long: Cell((State("h", "u"),), (linear("u", "x", long),), "u"),
        lambda long: Cell((State("h", "u"),), (Node("u", long, ("x",)),), "u"),
        lambda long: Cell((State(long, "u"),), (linear("u", "x"),), "u"),
        lambda long: Cell((State("h", "u"),), (linear("u", "y"),), "u", name=long),
    ],
)
def test_a_message_about_a_long_name_is_short(build):
    with pytest.raises(CellError) as caught:
        build("n" * 10_000)
    assert len(str(caught.value)) < 400


@given(cells())
@settings(max_examples=100, deadline=None)
def test_json_round_trip(found):
    assert Cell.from_json(found.to_json()) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"cell_version": 2}',
        '{"cell_version": 1}',
        "[" * 100_000,
        "9" * 5000,
        '{"cell_version": 1, "states": [["h"]], "nodes": [], "output": "y"}',
        '{"cell_version": 1, "cell_version": 1}',
        *(
            '{"cell_version": 1, "states": [["h", "y"]], "nodes": [{"name": "y", "op": "linear", '
            f'"inputs": {inputs}, "weights": ["a", "b"], "heads": {heads}}}], "output": "y"}}'
            for inputs, heads in (
                ('["x", "h"]', "Infinity"),
                ('["x", "h"]', "1.5"),
                ('["x", "h"]', "true"),
                ('"xh"', 1),
            )
        ),
        '{"cell_version": 1, "states": ["hy"], "nodes": [], "output": "y"}',
        " " * 10_000_001,
        None,
        b"{}",
    ],
)
def test_foreign_json_is_refused(text):
    with pytest.raises(CellError, match="a cell in JSON"):
        Cell.from_json(text)


@given(cells(), st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None)
def test_names_and_order_do_not_change_the_hash(found, generator):
    other = disguise(found, generator)
    assert other.hash == found.hash
    assert canonical_form(other) == canonical_form(found)


@given(cells())
@settings(max_examples=100, deadline=None)
def test_the_canonical_form_is_the_same_cell(found):
    form = canonical_form(found)
    assert form.hash == found.hash
    assert canonical_form(form) == form
    sizes = {"input_size": 5, "hidden_size": 3}
    assert form.num_parameters(**sizes) == found.num_parameters(**sizes)
    assert form.flops(**sizes) == found.flops(**sizes)


def outputs(found: Cell) -> list[float]:
    """The cell's function at one point, with weights that depend on the canonical name alone."""
    form = canonical_form(found)
    rnn = cellzoo.CellRNN(form, 3, 4, dtype=torch.float64)
    with torch.no_grad():
        for name, parameter in rnn.directions[0].weights.items():
            generator = torch.Generator().manual_seed(int(name[1:]))
            parameter.copy_(torch.randn(parameter.shape, dtype=torch.float64, generator=generator))
    x = torch.randn(3, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    output, final = rnn(x)
    parts = [output, *(final if isinstance(final, tuple) else (final,))]
    return torch.cat([part.flatten() for part in parts]).tolist()


@given(cells(), st.data())
@settings(max_examples=300, deadline=None)
def test_a_change_that_changes_the_function_changes_the_hash(found, data):
    """Mutate one node; where the hash stays, the function must have stayed too."""
    index = data.draw(st.integers(0, len(found.nodes) - 1))
    node = found.nodes[index]
    earlier = [state.name for state in found.states] + [other.name for other in found.nodes[:index]]
    if node.op in ("tanh", "sigmoid", "relu", "leaky_relu", "identity"):
        change = dataclasses.replace(node, op=data.draw(st.sampled_from(["tanh", "sigmoid", "relu"])))
    elif node.op == "linear" and "x" not in node.inputs:
        change = dataclasses.replace(node, bias=None if node.bias else "new_b")
    elif node.inputs and "x" not in node.inputs:
        position = data.draw(st.integers(0, len(node.inputs) - 1))
        inputs = list(node.inputs)
        inputs[position] = data.draw(st.sampled_from(earlier))
        change = dataclasses.replace(node, inputs=tuple(inputs))
    else:
        return
    nodes = (*found.nodes[:index], change, *found.nodes[index + 1 :])
    try:
        other = Cell(found.states, nodes, found.output)
    except CellError:
        return
    if other.hash == found.hash:
        assert outputs(other) == pytest.approx(outputs(found), rel=1e-9, abs=1e-9, nan_ok=True)


@given(cells(), st.data())
@settings(max_examples=300, deadline=None)
def test_another_weight_or_another_next_value_changes_the_hash(found, data):
    """Let one place use another weight, or a state or the output take another node; then as above."""
    nodes, states, output = list(found.nodes), list(found.states), found.output
    linears = [index for index, node in enumerate(nodes) if node.weights]
    what = data.draw(st.sampled_from(["weight", "state", "output"]))
    if what == "weight" and linears:
        index = data.draw(st.sampled_from(linears))
        weights = list(nodes[index].weights)
        others = [weight for other in nodes for weight in other.weights] + ["fresh"]
        weights[data.draw(st.integers(0, len(weights) - 1))] = data.draw(st.sampled_from(others))
        nodes[index] = dataclasses.replace(nodes[index], weights=tuple(weights))
    elif what == "state":
        index = data.draw(st.integers(0, len(states) - 1))
        names = [node.name for node in nodes] + [state.name for state in states]
        states[index] = dataclasses.replace(states[index], next=data.draw(st.sampled_from(names)))
    else:
        output = data.draw(st.sampled_from([node.name for node in nodes]))
    try:
        other = Cell(tuple(states), tuple(nodes), output)
    except CellError:
        return
    if other.hash == found.hash:
        assert outputs(other) == pytest.approx(outputs(found), rel=1e-9, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: dataclasses.replace(c, nodes=(dataclasses.replace(c.nodes[0], bias=None), c.nodes[1])),
        lambda c: dataclasses.replace(c, nodes=(c.nodes[0], dataclasses.replace(c.nodes[1], op="relu"))),
        lambda c: dataclasses.replace(c, output="a"),
        lambda c: dataclasses.replace(c, states=(State("h", "a"),)),
        lambda c: dataclasses.replace(c, states=(State("h", "y"), State("c", "y"))),
    ],
)
def test_each_part_of_the_meaning_enters_the_hash(change):
    assert change(ELMAN).hash != ELMAN.hash


def test_sharing_of_weights_enters_the_hash():
    def two(second):
        return cell(
            linear("a", "x", "h"),
            Node("b", "linear", ("h",), ("wb",)),
            Node("c", "linear", ("b",), (second,)),
            Node("y", "multiply", ("a", "c")),
        )

    assert two("wb").hash != two("wc").hash


def test_two_nodes_alike_are_not_one_node_read_twice():
    one = cell(linear("a", "x", "h"), Node("y", "multiply", ("a", "a")))
    two = cell(linear("a", "x", "h"), linear("b", "x", "h"), Node("y", "multiply", ("a", "b")))
    assert one.hash != two.hash


def test_the_order_of_blend_and_of_states_enters_the_hash():
    def blended(first, second):
        return cell(
            linear("z", "x", "h"), linear("a", "x", bias=False), Node("y", "blend", ("z", first, second))
        )

    assert blended("a", "h").hash != blended("h", "a").hash
    lstm = cellzoo.load("lstm")
    assert dataclasses.replace(lstm, states=lstm.states[::-1]).hash != lstm.hash


def test_nodes_without_effect_and_identities_do_not_matter():
    extra = dataclasses.replace(ELMAN, nodes=(*ELMAN.nodes, linear("unused", "y")))
    assert extra.hash == ELMAN.hash
    assert extra.num_parameters(input_size=2, hidden_size=3) == ELMAN.num_parameters(
        input_size=2, hidden_size=3
    )
    passed = cell(linear("a", "x", "h"), Node("b", "identity", ("a",)), Node("y", "tanh", ("b",)))
    assert passed.hash == ELMAN.hash


def test_a_highly_symmetric_cell_is_hashed_quickly():
    """14 equal chains: 14! orders, of which one is tried."""
    nodes = [linear("start", "x", "h")]
    for k in range(14):
        nodes += [linear(f"a{k}", "start"), Node(f"b{k}", "tanh", (f"a{k}",)), linear(f"c{k}", f"b{k}")]
    nodes.append(Node("y", "mean", tuple(f"c{k}" for k in range(14))))
    big = cell(*nodes)
    assert disguise(big, random.Random(1)).hash == big.hash


def test_a_linear_node_of_the_inputs_width_by_hand():
    """x changed by h: one (E, H) matrix with a bias E and two products, then an Elman cell."""
    found = cell(
        Node("q", "linear", ("h",), ("Q",), "b", width="input"),
        Node("m", "multiply", ("q", "x")),
        linear("a", "m", "h"),
        Node("y", "tanh", ("a",)),
    )
    e, h = 5, 7
    sizes = {"input_size": e, "hidden_size": h}
    assert found.parameter_shapes(**sizes) == {
        "Q": (e, h),
        "b": (e,),
        "a_m": (h, e),
        "a_h": (h, h),
        "a_b": (h,),
    }
    assert found.flops(**sizes) == (2 * e * h + e) + e + (2 * h * (e + h) + h) + h
    assert Cell.from_json(found.to_json()) == found
    hidden = dataclasses.replace(found.nodes[0], width="hidden")
    wide = cell(hidden, linear("a", "q", "x"), Node("y", "tanh", ("a",)))
    narrow = cell(found.nodes[0], linear("a", "q", "x"), Node("y", "tanh", ("a",)))
    assert wide.hash != narrow.hash


def test_a_product_of_low_rank_by_hand():
    """W x with W = A B of rank 3, and a weight for each of the 3 units between."""
    found = cell(
        Node("q", "linear", ("x",), ("B",), width="3"),
        Node("v", "vector", (), ("v",), width="3"),
        Node("qv", "multiply", ("q", "v")),
        Node("a", "linear", ("qv", "h"), ("A", "U")),
        Node("y", "tanh", ("a",)),
    )
    e, h = 5, 7
    sizes = {"input_size": e, "hidden_size": h}
    assert found.parameter_shapes(**sizes) == {"B": (3, e), "v": (3,), "A": (h, 3), "U": (h, h)}
    assert found.flops(**sizes) == 2 * 3 * e + 3 + 2 * h * (3 + h) + h
    assert Cell.from_json(found.to_json()) == found
    other = [dataclasses.replace(node, width="4") if node.width == "3" else node for node in found.nodes]
    assert cell(*other).hash != found.hash


def test_constants_and_vectors_of_the_inputs_width():
    found = cell(
        Node("one", "one", width="input"),
        Node("v", "vector", (), ("v",), width="input"),
        Node("a", "add", ("x", "one", "v")),
        linear("y", "a", "h"),
    )
    assert found.widths["a"] == "input"
    assert found.parameter_shapes(input_size=5, hidden_size=7)["v"] == (5,)
    assert found.flops(input_size=5, hidden_size=7) == 2 * 5 + 2 * 7 * (5 + 7) + 7


def test_a_recast_value_needs_an_input_as_wide_as_the_state():
    """MUT1 reads tanh(x) without a matrix."""
    found = cell(
        Node("t", "tanh", ("x",)), Node("r", "recast", ("t",)), linear("a", "h"), Node("y", "add", ("a", "r"))
    )
    assert found.num_parameters(input_size=4, hidden_size=4) == 4 * 4 + 4
    assert found.flops(input_size=4, hidden_size=4) == 4 + (2 * 4 * 4 + 4) + 4
    with pytest.raises(CellError, match=r"'mine': node 'r' reads 't' .* must equal .* 3 and 4"):
        found.num_parameters(input_size=3, hidden_size=4)
    with pytest.raises(CellError, match="they are 3 and 4"):
        cellzoo.CellRNN(found, 3, 4)
    with pytest.raises(CellError, match="they are 8 and 4"):
        cellzoo.CellRNN(found, 4, 4, num_layers=2, bidirectional=True)


def test_a_sum_of_many_does_not_depend_on_their_order():
    def total(*inputs):
        return cell(
            linear("a", "x", "h"),
            Node("b", "relu", ("a",)),
            Node("c", "tanh", ("a",)),
            Node("y", "add", inputs),
        )

    assert total("a", "b", "c").hash == total("c", "a", "b").hash != total("a", "b").hash
    assert total("a", "b", "c").flops(input_size=1, hidden_size=1) == (2 * 2 + 1) + 2 + 2


def test_flops_of_an_lstm_by_hand():
    """4 gates: products 2 H (E + H) and a bias H each; 5 activations, 3 products and 1 sum of width H."""
    e, h = 5, 7
    expected = 4 * (2 * h * (e + h) + h) + (5 + 3 + 1) * h
    lstm = cellzoo.load("lstm")
    assert lstm.flops(input_size=e, hidden_size=h) == expected
    assert lstm.flops(input_size=e, hidden_size=h, bias=False) == expected - 4 * h


def test_json_is_plain():
    content = json.loads(ELMAN.to_json())
    assert content["states"] == [["h", "y", "hidden"]]
    assert content["nodes"][0] == {
        "name": "a",
        "op": "linear",
        "inputs": ["x", "h"],
        "weights": ["a_x", "a_h"],
        "bias": "a_b",
    }

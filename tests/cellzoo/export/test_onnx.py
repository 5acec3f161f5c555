"""ONNX files against the layers they were made from, run by onnxruntime."""

from __future__ import annotations

import math

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from cell_strategies import cells
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch_weights import copy_weights

import cellzoo
from cellzoo.cells.cell import Cell
from cellzoo.cells.graph import HIDDEN_WIDTH, Node, State
from cellzoo.errors import MissingDependencyError, OutputError
from cellzoo.export import onnx_error, random_inputs, to_onnx

E, H = 3, 4
BOUND = 1e-5


def build(cell, input_size=E, **options):
    rnn = cellzoo.CellRNN(cell, input_size, H, **options)
    rnn.reset_parameters(torch.Generator().manual_seed(1))
    return rnn


def needs_equal_sizes(cell):
    return any(node.op == "recast" for node in cell.live_nodes)


def run(path, x, *states):
    session = onnxruntime.InferenceSession(path)
    names = [value.name for value in session.get_inputs()]
    feed = {name: value.numpy() for name, value in zip(names, (x, *states), strict=True)}
    return [torch.from_numpy(value) for value in session.run(None, feed)]


@pytest.mark.parametrize("name", cellzoo.list_cells())
def test_every_cell_of_the_zoo(name, tmp_path):
    """One step; two layers in both directions over three steps, written out; and over any number of steps."""
    cell = cellzoo.load(name)
    # Its output is a quotient of two states, which are random here: some are almost 0.
    bound = 1e-3 if name == "slstm" else BOUND
    path = tmp_path / "cell.onnx"
    one = build(cell, H if needs_equal_sizes(cell) else E)
    to_onnx(one, path)
    assert onnx_error(one, path, steps=None) < bound
    delayed = any(state.width != HIDDEN_WIDTH for state in cell.states)
    if needs_equal_sizes(cell):
        deep = build(cell, H, num_layers=2)
    else:
        deep = build(cell, 2 * H if delayed else E, num_layers=2, bidirectional=True)
    to_onnx(deep, path, steps=3)
    assert onnx_error(deep, path, steps=3) < bound
    to_onnx(deep, path, steps="any")
    assert onnx_error(deep, path, steps=5) < bound


@settings(max_examples=25, deadline=None)
@given(cell=cells(), steps=st.sampled_from([None, 2, "any"]))
def test_any_cell(cell, steps, tmp_path_factory):
    """Weights of all widths, shared ones, and outputs that do not depend on the input."""
    # A quotient of two values near 0, a root of one, and an exponential of a large one have few digits that
    # mean anything.
    assume(not {"divide", "sqrt", "exp"} & {node.op for node in cell.live_nodes})
    rnn = build(cell, num_layers=2)
    path = tmp_path_factory.mktemp("any") / "cell.onnx"
    to_onnx(rnn, path, steps=steps)
    assert onnx_error(rnn, path, steps=2 if steps == "any" else steps) < 1e-4


@pytest.mark.parametrize("steps", [4, "any"])
def test_an_lstm_in_a_file_is_the_lstm_of_torch(steps, tmp_path):
    torch.manual_seed(2)
    theirs = nn.LSTM(E, H, num_layers=2, bidirectional=True)
    ours = build(cellzoo.load("lstm"), num_layers=2, bidirectional=True)
    copy_weights(theirs, ours)
    path = tmp_path / "lstm.onnx"
    to_onnx(ours, path, steps=steps)
    x, states = random_inputs(ours, steps=4)
    with torch.no_grad():
        output, (h, c) = theirs(x, states)
    for found, expected in zip(run(path, x, *states), (output, h, c), strict=True):
        torch.testing.assert_close(found, expected, rtol=BOUND, atol=BOUND)


def test_a_step_again_and_again_is_the_sequence(tmp_path):
    rnn = build(cellzoo.load("darts-v2"), num_layers=2)
    to_onnx(rnn, tmp_path / "step.onnx")
    x, (h,) = random_inputs(rnn, steps=6)
    with torch.no_grad():
        expected, last = rnn(x, h)
    for t, row in enumerate(x):
        output, h = run(tmp_path / "step.onnx", row, h)
        torch.testing.assert_close(output, expected[t], rtol=BOUND, atol=BOUND)
    torch.testing.assert_close(h, last, rtol=BOUND, atol=BOUND)


def test_a_delayed_input_is_carried(tmp_path):
    cell = cellzoo.parse("d' = x\nh' = tanh(linear(x, d, h))", "equations")
    rnn = build(cell)
    for steps, length in ((None, None), (3, 3), ("any", 4)):
        to_onnx(rnn, tmp_path / "cell.onnx", steps=steps)
        assert onnx_error(rnn, tmp_path / "cell.onnx", steps=length) < BOUND


def test_an_output_that_is_a_constant_has_a_row_for_each_sequence(tmp_path):
    nodes = (
        Node("h_0", "linear", ("x", "h"), ("W", "U"), "b"),
        Node("one", "one"),
        Node("scale", "scalar", (), ("s",)),
        Node("output", "multiply", ("one", "scale")),
    )
    rnn = build(Cell((State("h", "h_0"), State("output_n", "output")), nodes, "output"))
    for steps in (None, 2, "any"):
        to_onnx(rnn, tmp_path / "cell.onnx", steps=steps)
        assert onnx_error(rnn, tmp_path / "cell.onnx", steps=steps and 2) < BOUND


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_batch_first_and_any_size_of_the_batch(batch_first, bidirectional, tmp_path):
    rnn = build(cellzoo.load("gru"), batch_first=batch_first, bidirectional=bidirectional, bias=False)
    to_onnx(rnn, tmp_path / "three.onnx", steps=3)
    to_onnx(rnn, tmp_path / "any.onnx", steps="any")
    for batch in (1, 2, 7):
        assert onnx_error(rnn, tmp_path / "three.onnx", steps=3, batch=batch) < BOUND
        for steps in (1, 9):
            assert onnx_error(rnn, tmp_path / "any.onnx", steps=steps, batch=batch) < BOUND


def test_a_cell_without_weights_and_with_an_odd_name(tmp_path):
    cell = cellzoo.parse("h' = tanh(recast(x) + h)", "equations", "\ud800\x00<")
    rnn = build(cell, H)
    to_onnx(rnn, tmp_path / "plain.onnx", steps="any")
    assert onnx_error(rnn, tmp_path / "plain.onnx", steps=3) < BOUND
    metadata = {item.key: item.value for item in onnx.load(tmp_path / "plain.onnx").metadata_props}
    assert Cell.from_json(metadata["cell"]) == cell
    assert metadata["cell_name"] == "\N{REPLACEMENT CHARACTER}" * 2 + "<"


@pytest.mark.parametrize(("size", "batch", "length"), [(1, 1, 1), (1, 5, 3), (7, 1, 2)])
@pytest.mark.parametrize("name", ["lstm", "darts-v2", "mogrifier-lstm", "nbnlp-7507"])
def test_odd_shapes(name, size, batch, length, tmp_path):
    rnn = cellzoo.rnn(name, size, size)
    rnn.reset_parameters(torch.Generator().manual_seed(1))
    for steps in (length, "any"):
        to_onnx(rnn, tmp_path / "cell.onnx", steps=steps)
        assert onnx_error(rnn, tmp_path / "cell.onnx", steps=length, batch=batch) < BOUND


def test_the_file_says_what_it_holds(tmp_path):
    rnn = build(cellzoo.load("lstm"), num_layers=2)
    to_onnx(rnn, tmp_path / "lstm.onnx", steps=2)
    model = onnx.load(tmp_path / "lstm.onnx")
    facts = {item.key: item.value for item in model.metadata_props}
    assert facts["cell_name"] == "lstm"
    assert Cell.from_json(facts["cell"]).hash == facts["cell_hash"] == rnn.cell.hash
    weights = {item.name: onnx.numpy_helper.to_array(item) for item in model.graph.initializer}
    for index, direction in enumerate(rnn.directions):
        for name, value in direction.weights.items():
            assert np.array_equal(weights[f"directions.{index}.weights.{name}"], value.detach().numpy())
    assert [value.name for value in model.graph.input] == ["input", "h_0", "c_0"]
    assert [value.name for value in model.graph.output] == ["output", "h_n", "c_n"]
    operators = {node.op_type for node in model.graph.node}
    assert operators == {"Gather", "Gemm", "Sigmoid", "Tanh", "Mul", "Sum", "Unsqueeze", "Concat"}


def test_dropout_is_left_out_and_the_layer_stays_as_it_is(tmp_path):
    rnn = build(cellzoo.load("gru"), num_layers=2, dropout=0.9, dropout_h=0.9).train()
    to_onnx(rnn, tmp_path / "gru.onnx", steps=3)
    assert onnx_error(rnn, tmp_path / "gru.onnx", steps=3) < BOUND
    assert rnn.training


def test_the_check_finds_another_layer(tmp_path):
    rnn = build(cellzoo.load("gru"))
    to_onnx(rnn, tmp_path / "gru.onnx", steps=3)
    with torch.no_grad():
        rnn.directions[0].weights["n_2_0"][0, 0] += 0.01
    assert 1e-4 < onnx_error(rnn, tmp_path / "gru.onnx", steps=3) < 0.1
    with torch.no_grad():
        rnn.directions[0].weights["n_2_0"][0, 0] = math.nan
    assert onnx_error(rnn, tmp_path / "gru.onnx", steps=3) == math.inf


@pytest.mark.parametrize(
    ("options", "steps", "message"),
    [
        (
            {"dtype": torch.float64},
            2,
            r"directions\.0\.\w+ is torch.float64; ONNX files are float32: call .float",
        ),
        ({"bidirectional": True}, None, "no single step; give the number of steps, or 'any'"),
        ({}, 0, "steps is 0; expected None, a number from 1, or 'any'"),
        ({}, "all", "steps is 'all'; expected None"),
        ({}, 10**6, "would be 10,000,000 nodes, and at most 100,000"),
    ],
)
def test_what_cannot_be_written_is_said(options, steps, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        to_onnx(build(cellzoo.load("gru"), **options), tmp_path / "gru.onnx", steps=steps)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("here")
    with pytest.raises(OutputError, match="cannot be written"):
        to_onnx(build(cellzoo.load("gru")), tmp_path / "file" / "gru.onnx")
    assert (tmp_path / "file").read_text() == "here"


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named_with_its_extra(package, tmp_path, monkeypatch):
    rnn = build(cellzoo.load("gru"))
    path = tmp_path / "gru.onnx"
    monkeypatch.setattr("cellzoo.system.extras.find_spec", lambda name: None)
    with pytest.raises(
        MissingDependencyError, match=rf"'{package}' is not .*: pip install 'cellzoo\[export\]'"
    ):
        to_onnx(rnn, path) if package == "onnx" else onnx_error(rnn, path, steps=None)

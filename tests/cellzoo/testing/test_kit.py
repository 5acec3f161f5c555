"""cellzoo.testing: sound cells pass, and each check fails on an implementation that is broken in its way."""

from __future__ import annotations

import functools
import json
import random
import re
import subprocess
import sys
import unittest

import pytest
import torch
from broken_layers import Layer, fails
from cell_strategies import cells
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import PackedSequence

import cellzoo
from cellzoo.cells.cell import Cell
from cellzoo.cells.graph import Node, State, linear
from cellzoo.errors import MissingDependencyError, UnknownNameError
from cellzoo.testing import CHECKS, CellConformance, check_cell, disguised, run_check

FILE = """
name = "mine"
notation = "equations"
genotype = "h' = tanh(linear(x, h))"
"""
DELAYED = "d' = x\nq = linear(h; width=input, bias=no)\nh' = tanh(linear(x, d, q, h))"


class TestByClass(CellConformance):
    cell = cellzoo.load("darts-v2")


class TestByName(CellConformance):
    cell = "peephole-lstm"
    layer = functools.partial(cellzoo.CellRNN, runtime="reference")


class TestOfADelayedInput(CellConformance):
    cell = cellzoo.parse(DELAYED, "equations", name="delayed")


class TestOfACellThatNeedsAnInputAsWideAsItsState(CellConformance):
    cell = Cell(
        (State("h", "y"),),
        (
            linear("a", "h"),
            Node("t", "tanh", ("x",)),
            Node("r", "recast", ("t",)),
            Node("s", "add", ("a", "r")),
            Node("y", "tanh", ("s",)),
        ),
        "y",
        name="recast",
    )


def test_a_cell_file_without_pytest(tmp_path):
    path = tmp_path / "found.toml"
    path.write_text(FILE, encoding="utf-8")
    check_cell(path)
    check_cell(str(path))


TEST_FILE = """
import cellzoo
from cellzoo.testing import CellConformance

class Broken(cellzoo.CellRNN):
    def forward(self, data, hx=None):
        output, final = super().forward(data, hx)
        return output, final[:, :1]

class TestFound(CellConformance):
    cell = cellzoo.load("found.toml")

class TestBroken(CellConformance):
    cell = "found.toml"
    layer = Broken
"""


def test_the_example_of_the_documentation_under_pytest(tmp_path):
    (tmp_path / "found.toml").write_text(FILE, encoding="utf-8")
    (tmp_path / "test_found.py").write_text(TEST_FILE, encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=line", "-k", "not export"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    failed = set(re.findall(r"FAILED test_found.py::(\w+)::test_(\w+)", run.stdout))
    assert {name for name, _ in failed} == {"TestBroken"}
    assert {("TestBroken", check) for check in ("shapes", "packed", "carried_state")} <= failed
    assert f"{2 * (len(CHECKS) - 1) - len(failed)} passed" in run.stdout


def test_importing_the_kit_imports_neither_torch_nor_pytest():
    code = "import sys, cellzoo.testing; sys.exit('torch' in sys.modules or 'pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_class_has_a_test_for_every_check():
    tests = {name.removeprefix("test_") for name in vars(CellConformance) if name.startswith("test_")}
    assert tests == set(CHECKS)


def test_an_unknown_check_is_named():
    with pytest.raises(UnknownNameError, match=r"unknown check 'mask'\. Did you mean 'masks'"):
        run_check("mask", "lstm")


def test_a_sound_subclass_passes_everything():
    check_cell("gru", Layer)


class DropsAState(Layer):
    def forward(self, data, hx=None):
        output, final = super().forward(data, hx)
        return output, final[:1]


class KeepsTimeFirst(Layer):
    def forward(self, data, hx=None):
        output, final = super().forward(data, hx)
        return (output.transpose(0, 1) if self.batch_first and output.dim() == 3 else output), final


class SortsPacked(Layer):
    def forward(self, data, hx=None):
        output, final = super().forward(data, hx)
        if isinstance(output, PackedSequence):
            output = PackedSequence(output.data, output.batch_sizes)
        return output, final


class GivesDouble(Layer):
    def forward(self, data, hx=None):
        output, final = super().forward(data, hx)
        return (output if isinstance(output, PackedSequence) else output.double()), final


class GivesInfinity(Layer):
    def forward(self, data, hx=None):
        output, final = super().forward(data, hx)
        return (output if isinstance(output, PackedSequence) else output / 0), final


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (DropsAState, "cell 'lstm' has 2 states, but 1 came back"),
        (KeepsTimeFirst, r"the output has shape \(3, 2, 10\).*expected \(2, 3, 10\)"),
        (SortsPacked, "a PackedSequence came back with other sorted_indices"),
        (GivesDouble, r"float64; expected \(1, 1, 10\), torch.float32"),
        (GivesInfinity, "not finite"),
    ],
)
def test_wrong_shapes_are_found(layer, message):
    fails("shapes", message, layer=layer)


def test_a_state_in_a_tuple_of_one_is_found():
    class Tuple(Layer):
        def forward(self, data, hx=None):
            output, final = super().forward(data, hx)
            return output, (final,)

    fails("shapes", r"has 1 state\(s\), but the final state is a tuple", "gru", Tuple)


class Scales(Layer):
    """Keeps a number outside of its parameters and buffers."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.scale = random.random()

    def forward(self, data, hx=None):
        output, final = super().forward(data, hx)
        return output * self.scale, final


def test_what_no_state_dict_carries_is_found():
    fails("save_and_load", "after JSON and state_dict: output", "gru", Scales)


class ForgetsOnCopy(Layer):
    def __deepcopy__(self, memo):
        fresh = type(self)(self.cell, self.input_size, self.hidden_size, self.num_layers, bidirectional=True)
        return fresh.double()


class ForgetsOnSave(Layer):
    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        return build_double, (self.cell, self.input_size, self.hidden_size)


def build_double(cell, input_size, hidden_size):
    return ForgetsOnSave(cell, input_size, hidden_size, 2, bidirectional=True, dtype=torch.float64)


def test_weights_lost_by_copy_or_save_are_found():
    fails("save_and_load", "after deepcopy: output", "gru", ForgetsOnCopy)
    fails("save_and_load", "after torch.save: output", "gru", ForgetsOnSave)


class LosesBiases(Cell):
    def to_json(self):
        content = json.loads(super().to_json())
        for node in content["nodes"]:
            node.pop("bias", None)
        return json.dumps(content)


def changed(kind, name="gru"):
    sound = cellzoo.load(name)
    return kind(sound.states, sound.nodes, sound.output, name=name)


def test_json_that_loses_something_is_found():
    fails("save_and_load", "cell 'gru': JSON gave another cell", changed(LosesBiases))


class HashOfNames(Cell):
    hash = property(lambda self: " ".join(node.name for node in self.nodes))


def test_a_hash_of_names_is_found():
    fails("hash", "has another hash", changed(HashOfNames))


def test_a_layer_that_goes_by_names_is_found():
    class ByName(Layer):
        def forward(self, data, hx=None):
            output, final = super().forward(data, hx)
            return output * len(self.cell.nodes[0].name), final

    fails("hash", "renamed and reordered: output", "gru", ByName)


def test_an_additional_parameter_is_found():
    class Extra(Layer):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            self.extra = nn.Parameter(torch.zeros(1))

    fails("counts", r"parameters counted, \d+ built", layer=Extra)


def test_a_bias_that_stays_is_found():
    class KeepsBias(Layer):
        def __init__(self, *arguments, bias=True, **options):
            super().__init__(*arguments, **options)

    fails("counts", "bias False", layer=KeepsBias)


class CheapCell(Cell):
    def flops(self, **sizes):
        return 10


def test_flops_below_those_of_the_matrices_are_found():
    fails("counts", "10 FLOPs, but its matrices alone take", changed(CheapCell))


def test_a_file_that_differs_from_the_layer_is_found():
    pytest.importorskip("onnxruntime")
    fails("export", "the ONNX file of one step differs from the layer by", "gru", Scales)


def test_without_the_packages_of_the_extra_the_export_is_skipped(monkeypatch):
    def missing(*arguments, **options):
        raise MissingDependencyError("onnx is not installed")

    monkeypatch.setattr("cellzoo.export.to_onnx", missing)
    with pytest.raises(unittest.SkipTest, match="onnx is not installed"):
        run_check("export", "rnn")
    check_cell("rnn")


@given(cells(), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_a_disguise_keeps_the_cell(cell, generator):
    other, weights = disguised(cell, generator)
    assert other.hash == cell.hash
    sizes = {"input_size": 2, "hidden_size": 3}
    shapes = cell.parameter_shapes(**sizes)
    assert {weights[name]: shape for name, shape in shapes.items()} == other.parameter_shapes(**sizes)

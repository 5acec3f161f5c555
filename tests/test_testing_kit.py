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
from cell_strategies import cells
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import cellzoo
from cellzoo import runtime
from cellzoo.cell import Cell, Node, State, linear
from cellzoo.errors import MissingDependencyError, UnknownNameError
from cellzoo.runtime.reference import ReferenceRuntime
from cellzoo.testing import CHECKS, CellConformance, check_cell, disguised, run_check, runtimes

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


def fails(check, message, cell="lstm", layer=None):
    with pytest.raises(AssertionError, match=message):
        run_check(check, cell, layer)


class Layer(cellzoo.CellRNN):
    """A layer to break: the sound one, whose parts are overridden below."""


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


def test_padding_that_is_read_as_data_is_found():
    class Pads(Layer):
        def forward(self, data, hx=None):
            if not isinstance(data, PackedSequence):
                return super().forward(data, hx)
            padded, lengths = pad_packed_sequence(data)
            output, final = super().forward(padded, hx)
            return pack_padded_sequence(output, lengths, enforce_sorted=False), final

    fails("packed", "packed and alone", layer=Pads)


def test_states_in_the_order_of_lengths_are_found():
    class Sorts(Layer):
        def forward(self, data, hx=None):
            output, final = super().forward(data, hx)
            if isinstance(data, PackedSequence) and data.sorted_indices is not None:
                final = tuple(state[:, data.sorted_indices] for state in final)
            return output, final

    fails("packed", "packed and alone: states", layer=Sorts)


class Engine(ReferenceRuntime):
    """An engine to break."""


def with_engine(engine):
    """A layer class that runs on an engine of its own."""

    class Own(Layer):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            for direction in self.directions:
                direction.engine = engine(self.cell)

    # torch.save looks a class up by its name.
    Own.__qualname__ = f"Own{engine.__name__}"
    globals()[Own.__qualname__] = Own
    return Own


def test_a_backward_direction_that_walks_forward_is_found():
    class Forward(Engine):
        def __call__(self, *arguments, reverse=False, **options):
            return super().__call__(*arguments, reverse=False, **options)

    fails("directions", "backward output", layer=with_engine(Forward))


def test_a_forgotten_initial_state_is_found():
    class Forgets(Engine):
        def __call__(self, inputs, batch_sizes, states, weights, **options):
            return super().__call__(
                inputs, batch_sizes, [torch.zeros_like(state) for state in states], weights, **options
            )

    fails("carried_state", "in two pieces: output", layer=with_engine(Forgets))


def test_an_output_that_sees_the_future_is_found():
    class Peeks(Layer):
        def forward(self, data, hx=None):
            output, final = super().forward(data, hx)
            return output + data.sum(), final

    fails("carried_state", "in two pieces: output", "gru", Peeks)


def test_an_initial_state_other_than_zeros_is_found():
    class Ones(Layer):
        def forward(self, data, hx=None):
            if hx is None:
                hx = torch.ones(len(self.directions), data.size(1), self.hidden_size, dtype=data.dtype)
            return super().forward(data, hx)

    fails("carried_state", "starts from zeros", "gru", Ones)


def test_rows_that_see_each_other_are_found():
    class Mixes(Engine):
        def __call__(self, inputs, *arguments, **options):
            return super().__call__(inputs + inputs.mean() * 0, *arguments, **options)

    fails("rows", "rows beside one with NaN", layer=with_engine(Mixes))


def test_rows_that_depend_on_their_place_are_found():
    class Places(Engine):
        def __call__(self, inputs, batch_sizes, *arguments, **options):
            place = torch.cat([torch.arange(size, dtype=inputs.dtype) for size in batch_sizes])
            return super().__call__(inputs + place[:, None], batch_sizes, *arguments, **options)

    fails("rows", "rows in another order", layer=with_engine(Places))


def test_a_frozen_weight_is_found_by_name():
    """What wrapping a dropped weight in a new parameter does: the raw weight gets no gradient."""

    class Freezes(Engine):
        def __call__(self, inputs, batch_sizes, states, weights, **options):
            frozen = {name: weight.detach() if name == "f_1_1" else weight for name, weight in weights.items()}
            return super().__call__(inputs, batch_sizes, states, frozen, **options)

    fails("gradients", r"finite differences are: directions\.0\.weights\.f_1_1$", layer=with_engine(Freezes))


def test_gradients_cut_between_the_steps_are_found():
    class Cuts(Layer):
        def forward(self, data, hx=None):
            if data.size(0) == 1:
                return super().forward(data, hx)
            output, hx = super().forward(data[:-1], hx)
            last, final = super().forward(data[-1:], tuple(state.detach() for state in hx))
            return torch.cat([output, last]), final

    fails("gradients", "the input, initial state h, initial state c", layer=Cuts)


def test_a_wrong_derivative_is_found():
    class Straight(torch.autograd.Function):
        @staticmethod
        def forward(ctx, value):
            return value.clamp(min=0)

        @staticmethod
        def backward(ctx, grad):
            return grad

    class Wrong(Layer):
        def forward(self, data, hx=None):
            output, final = super().forward(data, hx)
            return Straight.apply(output), final

    fails("gradients", "no gradients as finite differences", "gru", Wrong)


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


class MasksTheCarry(Engine):
    def __call__(self, inputs, batch_sizes, states, weights, *, mask_h=None, **options):
        if mask_h is not None:
            states = [state * mask_h for state in states]
            outputs = []
            for part in inputs.split(list(batch_sizes)):
                output, states = super().__call__(part, [len(part)], states, weights, mask_h=mask_h, **options)
                states = [state * mask_h for state in states]
                outputs.append(output)
            return torch.cat(outputs), tuple(states)
        return super().__call__(inputs, batch_sizes, states, weights, mask_h=None, **options)


class IgnoresMasks(Engine):
    def __call__(self, *arguments, mask_x=None, mask_h=None, **options):
        return super().__call__(*arguments, **options)


class SwapsMasks(Engine):
    def __call__(self, *arguments, mask_x=None, mask_h=None, **options):
        like_x = None if mask_h is None else mask_h.new_zeros(mask_h.size(0), 3)
        like_h = None if mask_x is None else mask_x.new_zeros(mask_x.size(0), 5)
        return super().__call__(*arguments, mask_x=like_x, mask_h=like_h, **options)


class NewMaskEachStep(Engine):
    def __call__(self, inputs, batch_sizes, states, weights, *, mask_x=None, mask_h=None, **options):
        outputs = []
        for part in inputs.split(list(batch_sizes)):
            masks = {"mask_x": mask_x, "mask_h": mask_h}
            output, states = super().__call__(part, [len(part)], states, weights, **masks, **options)
            mask_x = None if mask_x is None else mask_x.roll(1, 0)
            outputs.append(output)
        return torch.cat(outputs), tuple(states)


class OneMaskForAll(Engine):
    def __call__(self, *arguments, mask_x=None, mask_h=None, **options):
        first = [None if mask is None else mask[:1].expand_as(mask) for mask in (mask_x, mask_h)]
        return super().__call__(*arguments, mask_x=first[0], mask_h=first[1], **options)


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        (MasksTheCarry, "with dropout_h 1, against products of 0"),
        (IgnoresMasks, "with dropout_x 1, against products of 0"),
        (SwapsMasks, "with dropout_x 1, against products of 0"),
        (NewMaskEachStep, "masks differ between the steps"),
        (OneMaskForAll, "16 equal sequences got equal masks"),
    ],
)
def test_wrong_masks_are_found(engine, message):
    fails("masks", message, layer=with_engine(engine))


def test_masks_in_eval_mode_are_found():
    class Always(Layer):
        def eval(self):
            return self.train()

    fails("masks", "dropout_x in eval mode", layer=Always)


class Rough(Engine):
    """Right to 6 digits."""

    def __call__(self, *arguments, **options):
        output, final = super().__call__(*arguments, **options)
        return output * (1 + 1e-6), final


class RoughBackward(Engine):
    """Right outputs, and gradients that are off."""

    def __call__(self, *arguments, **options):
        output, final = super().__call__(*arguments, **options)
        return output.detach() + (output - output.detach()) * 1.001, final


class DoubleAlone(Engine):
    """Right in float64, rough in float32."""

    def __call__(self, inputs, *arguments, **options):
        output, final = super().__call__(inputs, *arguments, **options)
        return (output.half().float() if inputs.dtype == torch.float32 else output), final


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        (Rough, "torch.float64: outputs and states"),
        (RoughBackward, "torch.float64: gradients"),
        (DoubleAlone, "torch.float32: outputs and states"),
    ],
)
def test_a_wrong_engine_is_found(monkeypatch, engine, message):
    fails("runtimes", f"engine of the layer against the reference, {message}", layer=with_engine(engine))
    register(monkeypatch, engine)
    fails("runtimes", f"engine mine against the reference, {message}")


def test_a_right_engine_passes(monkeypatch):
    register(monkeypatch, Engine)
    run_check("runtimes", "darts-v2")
    check_cell("gru", functools.partial(cellzoo.CellRNN, runtime="mine"))


def register(monkeypatch, engine):
    names = ("auto", "reference", "mine")
    monkeypatch.setitem(runtime._ENGINES, "mine", engine)
    monkeypatch.setattr(runtime, "RUNTIMES", names)
    monkeypatch.setattr(runtimes, "RUNTIMES", names)


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

"""cellzoo.testing: checks of sequences, gradients, masks and engines fail on what is broken in their way."""

from __future__ import annotations

import functools
import random
import sys
from types import ModuleType

import pytest
import torch
from broken_layers import Engine, Layer, fails, with_engine
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import cellzoo
from cellzoo import runtime
from cellzoo.notations import egs, ess, fenas, idarts
from cellzoo.testing import check_cell, run_check, runtimes


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

    fails("gradients", r"finite differences: directions\.0\.f_1_1$", layer=with_engine(Freezes))


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

    fails("gradients", "gradients differ from finite differences", "gru", Wrong)


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
    # The layer runs on it whatever it is asked for.
    fails("runtimes", f"engine auto against the reference, {message}", layer=with_engine(engine))
    register(monkeypatch, engine)
    fails("runtimes", f"engine mine against the reference, {message}")


def test_a_right_engine_passes(monkeypatch):
    register(monkeypatch, Engine)
    run_check("runtimes", "darts-v2")
    check_cell("gru", functools.partial(cellzoo.CellRNN, runtime="mine"))


def register(monkeypatch, engine):
    names = ("auto", "reference", "mine")
    module = ModuleType("mine")
    module.ENGINE = runtime.Engine(engine, None)
    monkeypatch.setitem(sys.modules, "mine", module)
    monkeypatch.setitem(runtime._ENGINES, "mine", "mine")
    monkeypatch.setattr(runtime, "RUNTIMES", names)
    monkeypatch.setattr(runtimes, "RUNTIMES", names)


@pytest.mark.parametrize(
    ("notation", "text"),
    [
        ("ess", ess.sample(random.Random(4), 3, 2)),
        ("ess", ess.sample(random.Random(5), 2, 2, "diag")),
        ("egs", egs.sample(random.Random(1), 2)),
        ("idarts", idarts.sample(random.Random(1), 3)),
        ("fenas", fenas.sample(random.Random(7))),
        ("equations", "h' = tanh(linear(x: half, h: keys; bias=training) * scalar[forward])"),
        ("equations", "h' = tanh(recast(x) + h)"),
    ],
)
def test_members_of_spaces_without_a_published_cell_pass(notation, text):
    check_cell(cellzoo.parse(text, notation))

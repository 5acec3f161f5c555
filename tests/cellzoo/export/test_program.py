"""Programs of torch.export against the layers they were made from."""

from __future__ import annotations

import pytest
import torch

import cellzoo
from cellzoo.export import random_inputs, to_torch_export


def build(name, **options):
    cell = cellzoo.load(name)
    equal = any(node.op == "recast" for node in cell.live_nodes)
    rnn = cellzoo.CellRNN(cell, 4 if equal else 3, 4, **options)
    rnn.reset_parameters(torch.Generator().manual_seed(1))
    return rnn


def assert_same(rnn, program, steps, batch):
    x, states = random_inputs(rnn, steps=steps, batch=batch, seed=batch)
    axis = 1 if rnn.batch_first else 0
    with torch.no_grad():
        hx = states if len(states) > 1 else states[0]
        output, final = rnn.eval()(x if steps else x.unsqueeze(axis), hx)
        found = program.module()(x, *states)
    expected = [output if steps else output.squeeze(axis), *(final if isinstance(final, tuple) else (final,))]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


def test_one_step_for_any_batch():
    rnn = build("darts-v2", num_layers=2, dropout=0.5, dtype=torch.float64).train()
    program = to_torch_export(rnn)
    assert rnn.training
    for batch in (1, 2, 5):
        assert_same(rnn, program, None, batch)


def test_a_sequence_in_both_directions_through_a_file(tmp_path):
    rnn = build("lstm", bidirectional=True, batch_first=True)
    torch.export.save(to_torch_export(rnn, steps=2), tmp_path / "lstm.pt2")
    program = torch.export.load(tmp_path / "lstm.pt2")
    for batch in (1, 4):
        assert_same(rnn, program, 2, batch)


def test_the_program_has_weights_of_its_own():
    rnn = build("gru")
    program = to_torch_export(rnn)
    x, states = random_inputs(rnn, steps=None)
    before = program.module()(x, *states)[0]
    with torch.no_grad():
        rnn.directions[0].weights["n_2_0"].zero_()
    assert torch.equal(program.module()(x, *states)[0], before)


@pytest.mark.parametrize(
    ("options", "steps", "message"),
    [
        ({"bidirectional": True}, None, "no single step; give the number of steps"),
        ({}, 0, "steps is 0; expected None or a number from 1"),
        ({}, "any", "steps is 'any'; expected None or a number from 1"),
    ],
)
def test_what_cannot_be_exported_is_said(options, steps, message):
    with pytest.raises(ValueError, match=message):
        to_torch_export(build("gru", **options), steps=steps)


@pytest.mark.slow
@pytest.mark.parametrize("name", cellzoo.list_cells())
def test_every_cell_of_the_zoo(name):
    rnn = build(name)
    assert_same(rnn, to_torch_export(rnn), None, 3)

"""Zoneout and layer norm as options of the layer."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import cellzoo
from cellzoo.cells.cell import Cell
from cellzoo.cells.graph import Node, State
from cellzoo.errors import CellError, UnknownNameError

RUNTIMES = ("reference", "torch", "native", "auto")


def layer(runtime="auto", name="lstm", **options):
    rnn = cellzoo.rnn(name, 3, 5, dtype=torch.float64, runtime=runtime, **options)
    rnn.reset_parameters(torch.Generator().manual_seed(0))
    return rnn


def inputs(steps=6, batch=4):
    return torch.randn(steps, batch, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_outside_of_training_states_are_what_they_are_on_average(runtime):
    """Written out with torch's own cell."""
    rnn = layer(runtime, zoneout={"h": 0.3, "c": 0.1}).eval()
    theirs = torch.nn.LSTMCell(3, 5, dtype=torch.float64)
    weights = rnn.direction(0).weights
    with torch.no_grad():
        for name, end in (("weight_ih", "0"), ("weight_hh", "1"), ("bias_ih", "b")):
            getattr(theirs, name).copy_(torch.cat([weights[f"{gate}_1_{end}"] for gate in "ifgo"]))
        theirs.bias_hh.zero_()
        x = inputs()
        h = c = torch.zeros(4, 5, dtype=torch.float64)
        output, (last_h, last_c) = rnn(x)
        for now, found in zip(x, output, strict=True):
            new_h, new_c = theirs(now, (h, c))
            h, c = 0.3 * h + 0.7 * new_h, 0.1 * c + 0.9 * new_c
            torch.testing.assert_close(found, h, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(last_h[0], h, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(last_c[0], c, rtol=1e-12, atol=1e-12)


def test_in_training_every_engine_draws_alike():
    found = []
    for runtime in RUNTIMES:
        rnn, x = layer(runtime, zoneout=0.4), inputs().requires_grad_()
        torch.manual_seed(3)
        output, _ = rnn(x)
        gradients = torch.autograd.grad(output.square().sum(), [x, *rnn.parameters()])
        found.append([output.detach(), *gradients])
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-11, atol=1e-11)


def test_a_share_of_the_units_stays_and_the_others_become_what_they_would():
    """One step from a state of twos: what stays is 2 exactly, as often as the probability says."""
    rnn = layer(name="rnn", zoneout=0.3)
    x, start = inputs(1, 4000), torch.full((1, 4000, 5), 2.0, dtype=torch.float64)
    torch.manual_seed(0)
    output, final = rnn(x, start)
    stays = output == 2.0
    # 20,000 units: standard error 0.003.
    assert abs(stays.double().mean().item() - 0.3) < 0.015
    plain = layer(name="rnn")(x, start)[0]
    torch.testing.assert_close(output[~stays], plain[~stays])
    assert torch.equal(final[0], output[0])


def test_packed_sequences_keep_their_own_last_state():
    rnn = layer(zoneout=0.5, bidirectional=True).eval()
    x, lengths = inputs(), [6, 4, 4, 1]
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths)
    _, (h, c) = rnn(packed)
    for row, length in enumerate(lengths):
        _, (alone_h, alone_c) = rnn(x[:length, row])
        torch.testing.assert_close(h[:, row], alone_h, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(c[:, row], alone_c, rtol=1e-12, atol=1e-12)
    rnn.train()
    output, (h, _) = rnn(packed)
    padded, _ = torch.nn.utils.rnn.pad_packed_sequence(output)
    for row, length in enumerate(lengths):
        torch.testing.assert_close(h[0, row], padded[length - 1, row, :5])
        torch.testing.assert_close(h[1, row], padded[0, row, 5:])


def test_an_exported_layer_is_the_one_outside_of_training(tmp_path):
    pytest.importorskip("onnxruntime")
    from cellzoo.export import onnx_error, to_onnx

    rnn = cellzoo.rnn("lstm", 3, 5, zoneout=0.4)
    to_onnx(rnn, tmp_path / "cell.onnx", steps=3)
    assert onnx_error(rnn, tmp_path / "cell.onnx", steps=3) < 1e-5


def test_layer_norm_is_the_rewritten_cell():
    from cellzoo.rewrites import layer_norm

    rnn = layer(layer_norm=True)
    assert rnn.cell.hash == layer_norm(cellzoo.load("lstm")).hash
    reference = layer("reference", layer_norm=True)
    torch.testing.assert_close(rnn(inputs())[0], reference(inputs())[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rate", [1.0, -0.1, float("nan"), True, "0.5"])
def test_what_is_no_probability(rate):
    with pytest.raises(ValueError, match="zoneout is"):
        layer(zoneout=rate)


def test_states_that_cannot_stay():
    with pytest.raises(UnknownNameError, match="unknown state for zoneout 'm'"):
        layer(zoneout={"m": 0.1})
    with pytest.raises(CellError, match="holds inputs"):
        layer(name="qrnn", zoneout={"x1": 0.1})


def test_probabilities_may_come_from_numpy():
    assert layer(zoneout=np.float32(0.25)).zoneout == {"h": 0.25, "c": 0.25}


def test_states_that_share_their_next_value_give_the_same_output_in_training_and_outside():
    """With zoneout on the second state alone, the output is the first one's next value, which is not zoned."""
    nodes = (Node("l", "linear", ("x", "h"), ("W", "U")), Node("n", "tanh", ("l",)))
    cell = Cell((State("h", "n"), State("c", "n")), nodes, "n")
    rnn = cellzoo.CellRNN(cell, 3, 5, dtype=torch.float64, zoneout={"c": 0.5})
    trained, _ = rnn(inputs())
    torch.testing.assert_close(rnn.eval()(inputs())[0], trained, rtol=1e-12, atol=1e-12)

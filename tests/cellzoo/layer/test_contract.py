"""CellRNN's contract on cells that torch has no module for."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pack_sequence, pad_packed_sequence

import cellzoo
from cellzoo.cells.cell import Cell
from cellzoo.cells.graph import Node, State
from cellzoo.runtime.auto import choose

CELLS = ["darts-v2", "enas", "idarts-v1", "lstm", "random-darts-5"]
E, H = 3, 4


def as_tuple(states):
    return states if isinstance(states, tuple) else (states,)


def build(name, **options):
    rnn = cellzoo.rnn(name, E, H, dtype=torch.float64, **options)
    rnn.reset_parameters(torch.Generator().manual_seed(7))
    return rnn


def sequences(*lengths):
    generator = torch.Generator().manual_seed(sum(lengths))
    return [torch.randn(length, E, dtype=torch.float64, generator=generator) for length in lengths]


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_each_sequence_of_a_packed_batch_gives_what_it_gives_alone(name, num_layers, bidirectional):
    rnn = build(name, num_layers=num_layers, bidirectional=bidirectional).eval()
    parts = sequences(2, 5, 1, 5, 3)
    count = len(rnn.directions)
    states = [
        torch.randn(count, len(parts), H, dtype=torch.float64, generator=torch.Generator().manual_seed(k))
        for k, _ in enumerate(rnn.cell.states)
    ]
    give = tuple(states) if len(states) > 1 else states[0]
    packed, final = rnn(pack_sequence(parts, enforce_sorted=False), give)
    assert isinstance(packed, PackedSequence)
    padded, lengths = pad_packed_sequence(packed)
    for index, part in enumerate(parts):
        own = tuple(state[:, index] for state in states)
        output, alone = rnn(part, own if len(own) > 1 else own[0])
        torch.testing.assert_close(padded[: lengths[index], index], output, rtol=1e-12, atol=1e-12)
        for batched, single in zip(as_tuple(final), as_tuple(alone), strict=True):
            torch.testing.assert_close(batched[:, index], single, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", CELLS)
def test_backward_direction_is_the_forward_one_on_the_reversed_sequence(name):
    both = build(name, bidirectional=True)
    alone = build(name)
    alone.directions[0].load_state_dict(both.directions[1].state_dict())
    (part,) = sequences(6)
    torch.testing.assert_close(both(part)[0][:, H:], alone(part.flip(0))[0].flip(0))


@pytest.mark.parametrize("name", CELLS)
def test_a_sequence_in_two_pieces_with_carried_state_is_the_whole(name):
    rnn = build(name, num_layers=2)
    (part,) = sequences(7)
    whole, end = rnn(part)
    first, middle = rnn(part[:3])
    second, last = rnn(part[3:], middle)
    torch.testing.assert_close(torch.cat([first, second]), whole, rtol=1e-12, atol=1e-12)
    for one, other in zip(as_tuple(end), as_tuple(last), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_variational_masks_act_on_products_alone_and_once_a_sequence():
    """A hand-written DARTS step with the masks that the module drew."""
    genotype = "Genotype(recurrent=[('tanh', 0), ('relu', 1)], concat=[1, 2])"
    rnn = cellzoo.CellRNN(
        cellzoo.parse(genotype, "darts"), E, H, dropout_x=0.4, dropout_h=0.3, dtype=torch.float64
    )
    x = torch.stack(sequences(5, 5), dim=1)
    torch.manual_seed(3)
    output, _ = rnn(x)
    torch.manual_seed(3)
    mask_x = torch.nn.functional.dropout(torch.ones(2, E, dtype=torch.float64), 0.4)
    mask_h = torch.nn.functional.dropout(torch.ones(2, H, dtype=torch.float64), 0.3)
    assert set(mask_x.unique().tolist()) <= {0.0, 1 / 0.6}
    w = dict(rnn.directions[0].weights.items())
    h = torch.zeros(2, H, dtype=torch.float64)
    expected = []
    for step in x:
        c0 = torch.sigmoid((step * mask_x) @ w["c0_x"].T + (h * mask_h) @ w["c0_h"].T)
        u0 = torch.tanh((step * mask_x) @ w["u0_x"].T + (h * mask_h) @ w["u0_h"].T)
        s0 = h + c0 * (u0 - h)
        s1 = s0 + torch.sigmoid((s0 * mask_h) @ w["c1_s0"].T) * (torch.tanh((s0 * mask_h) @ w["u1_s0"].T) - s0)
        s2 = s1 + torch.sigmoid((s1 * mask_h) @ w["c2_s1"].T) * (torch.relu((s1 * mask_h) @ w["u2_s1"].T) - s1)
        h = (s1 + s2) / 2
        expected.append(h)
    torch.testing.assert_close(output, torch.stack(expected), rtol=1e-12, atol=1e-12)


def test_each_value_gets_the_mask_of_its_width():
    """A delayed input and a projection to the input's width are masked as x is."""
    text = "d' = x\nq = linear(h; width=input, bias=no)\nh' = linear(x, d, q, h; bias=no)"
    rnn = cellzoo.CellRNN(
        cellzoo.parse(text, "equations"), E, H, dropout_x=0.4, dropout_h=0.3, dtype=torch.float64
    )
    x = torch.stack(sequences(4, 4), dim=1)
    torch.manual_seed(5)
    output, (_, last_input) = rnn(x)
    torch.manual_seed(5)
    mask_x = torch.nn.functional.dropout(torch.ones(2, E, dtype=torch.float64), 0.4)
    mask_h = torch.nn.functional.dropout(torch.ones(2, H, dtype=torch.float64), 0.3)
    w = dict(rnn.directions[0].weights.items())
    h, d = torch.zeros(2, H, dtype=torch.float64), torch.zeros(2, E, dtype=torch.float64)
    expected = []
    for step in x:
        q = (h * mask_h) @ w["q_0"].T
        h = (
            (step * mask_x) @ w["h_next_0"].T
            + (d * mask_x) @ w["h_next_1"].T
            + (q * mask_x) @ w["h_next_2"].T
            + (h * mask_h) @ w["h_next_3"].T
        )
        d = step
        expected.append(h)
    torch.testing.assert_close(output, torch.stack(expected), rtol=1e-12, atol=1e-12)
    assert torch.equal(last_input[0], x[-1])


def test_values_of_every_width_and_their_masks():
    """A constant and a vector of the input's width; a product of rank 2, whose inner units are not masked."""
    nodes = (
        Node("one", "one", width="input"),
        Node("v", "vector", (), ("v",), width="input"),
        Node("xv", "add", ("x", "one", "v")),
        Node("q", "linear", ("xv",), ("B",), width="2"),
        Node("half", "scalar", (), ("scale",), width="2"),
        Node("qh", "multiply", ("q", "half")),
        Node("y", "linear", ("qh", "h"), ("A", "U")),
    )
    cell = Cell((State("h", "y"),), nodes, "y")
    rnn = cellzoo.CellRNN(cell, E, H, dropout_x=0.4, dropout_h=0.3, dtype=torch.float64)
    x = torch.stack(sequences(4, 4), dim=1)
    torch.manual_seed(5)
    output, _ = rnn(x)
    torch.manual_seed(5)
    mask_x = torch.nn.functional.dropout(torch.ones(2, E, dtype=torch.float64), 0.4)
    mask_h = torch.nn.functional.dropout(torch.ones(2, H, dtype=torch.float64), 0.3)
    w = dict(rnn.directions[0].weights.items())
    h = torch.zeros(2, H, dtype=torch.float64)
    expected = []
    for step in x:
        q = ((step + 1 + w["v"]) * mask_x) @ w["B"].T
        h = (q * w["scale"]) @ w["A"].T + (h * mask_h) @ w["U"].T
        expected.append(h)
    torch.testing.assert_close(output, torch.stack(expected), rtol=1e-12, atol=1e-12)


def test_with_everything_masked_the_state_decays_by_the_gate_alone():
    """All products are 0, so every gate is 1/2 and every candidate f(0) = 0: s0 = h/2, s1 = s0/2."""
    genotype = "Genotype(recurrent=[('tanh', 0)], concat=[1])"
    rnn = cellzoo.CellRNN(cellzoo.parse(genotype, "darts"), E, H, dropout_x=1.0, dropout_h=1.0)
    h = torch.ones(1, 1, H)
    assert torch.equal(rnn(torch.randn(3, 1, E), h)[0][:, 0, 0], torch.tensor([1 / 4, 1 / 16, 1 / 64]))


def test_masks_are_off_in_eval_mode_and_differ_between_sequences():
    rnn = build("darts-v2", dropout_x=0.5, dropout_h=0.5)
    x = torch.ones(2, 8, E, dtype=torch.float64)
    rows = rnn(x)[0][-1]
    assert len({tuple(row.tolist()) for row in rows}) > 1
    plain = build("darts-v2")
    assert torch.equal(rnn.eval()(x)[0], plain(x)[0])


@pytest.mark.parametrize("name", CELLS)
def test_state_dict_deepcopy_and_torch_save_keep_the_outputs(name):
    rnn = build(name, num_layers=2, bidirectional=True)
    (part,) = sequences(4)
    other = cellzoo.rnn(name, E, H, num_layers=2, bidirectional=True, dtype=torch.float64)
    other.load_state_dict(rnn.state_dict())
    buffer = io.BytesIO()
    torch.save(rnn, buffer)
    buffer.seek(0)
    for module in (other, copy.deepcopy(rnn), torch.load(buffer, weights_only=False)):
        assert torch.equal(module(part)[0], rnn(part)[0])


def test_attributes_of_torch_lstm():
    options = {"num_layers": 2, "bias": False, "batch_first": True, "dropout": 0.25, "bidirectional": True}
    rnn = cellzoo.rnn("lstm", E, H, **options)
    theirs = torch.nn.LSTM(E, H, **options)
    for name in ("input_size", "hidden_size", *options):
        assert getattr(rnn, name) == getattr(theirs, name)
    assert [len(group) for group in rnn.all_weights] == [8] * 4
    assert rnn.flatten_parameters() is None
    assert not hasattr(rnn, "__len__")
    assert rnn.runtime == choose(torch.device("cpu"), torch.float32)
    assert "num_layers=2" in repr(rnn)


def test_reset_parameters_obeys_its_generator_and_its_bound():
    first, second = build("darts-v2"), build("darts-v2")
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    second.reset_parameters(torch.Generator().manual_seed(8))
    flat = torch.cat([parameter.flatten() for parameter in second.parameters()])
    assert not torch.equal(flat, torch.cat([parameter.flatten() for parameter in first.parameters()]))
    assert flat.abs().max() <= H**-0.5
    assert flat.abs().max() > 0.9 * H**-0.5


@pytest.mark.parametrize(
    ("shape", "message"),
    [((3, 2, E + 1), "input_size is 3"), ((E,), "dimensions"), ((0, 2, E), "no time step")],
)
def test_wrong_input_is_named(shape, message):
    with pytest.raises(ValueError, match=message):
        cellzoo.rnn("gru", E, H)(torch.zeros(shape))


def test_wrong_states_are_named():
    x = torch.zeros(2, 3, E)
    with pytest.raises(ValueError, match=r"the cell has 2 \(h, c\)"):
        cellzoo.rnn("lstm", E, H)(x, torch.zeros(1, 3, H))
    with pytest.raises(ValueError, match=r"h has shape \(1, 2, 4\); expected \(1, 3, 4\)"):
        cellzoo.rnn("gru", E, H)(x, torch.zeros(1, 2, H))


@pytest.mark.parametrize("options", [{"num_layers": 0}, {"dropout": 1.5}, {"dropout_h": -0.1}])
def test_wrong_constructor_arguments_are_named(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        cellzoo.rnn("lstm", E, H, **options)


@pytest.mark.cuda
@pytest.mark.parametrize("name", CELLS)
def test_cuda_agrees_with_the_cpu(name):
    rnn = build(name, num_layers=2, bidirectional=True).eval()
    packed = pack_sequence(sequences(2, 5, 1), enforce_sorted=False)
    here, _ = rnn(packed)
    there, _ = rnn.cuda()(packed.to("cuda"))
    torch.testing.assert_close(here.data, there.data.cpu(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["half", "keys", "items", "training", "forward", "_parameters", "pop"])
def test_a_weight_may_have_any_name(name):
    cell = cellzoo.parse(f"h' = tanh(linear(x, h) * scalar[{name}])", "equations")
    same = cellzoo.parse("h' = tanh(linear(x, h) * scalar[a])", "equations")
    first, second = (cellzoo.CellRNN(found, E, H, dtype=torch.float64) for found in (cell, same))
    for rnn in (first, second):
        rnn.reset_parameters(torch.Generator().manual_seed(1))
    (part,) = sequences(3)
    assert torch.equal(first(part)[0], second(part)[0])
    other = copy.deepcopy(first)
    other.load_state_dict(first.state_dict())
    assert torch.equal(other(part)[0], first(part)[0])

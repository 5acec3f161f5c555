"""The zoo's lstm, gru and rnn against torch.nn with the same weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch_weights import copy_weights, mapped, suffixes

import cellzoo

TORCH = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
E, H, B, T = 5, 7, 4, 6


def pair(name, **options):
    torch.manual_seed(11)
    theirs = TORCH[name](E, H, dtype=torch.float64, **options)
    ours = cellzoo.rnn(name, E, H, dtype=torch.float64, **options)
    copy_weights(theirs, ours)
    return theirs, ours


def as_tuple(states):
    return states if isinstance(states, tuple) else (states,)


def compare(name, theirs, ours, feed):
    """Run both on inputs from `feed`, back-propagate one loss, and compare everything."""
    seen = []
    for module in (theirs, ours):
        x, hx, values = feed(module)
        loss = sum(
            (value * torch.cos(torch.arange(value.numel(), dtype=torch.float64)).view(value.shape)).sum()
            for value in values
        )
        loss.backward()
        seen.append(([value.detach() for value in values], [x.grad, *(h.grad for h in hx)]))
    for first, second in zip(seen[0][0] + seen[0][1], seen[1][0] + seen[1][1], strict=True):
        torch.testing.assert_close(first, second, rtol=1e-12, atol=1e-12)
    for direction, suffix in zip(ours.directions, suffixes(theirs), strict=True):
        expected = mapped(theirs, name, suffix, "one", grad=True)
        ours_by_name = dict(direction.weights.items())
        assert set(expected) == set(ours_by_name)
        for parameter, value in expected.items():
            torch.testing.assert_close(ours_by_name[parameter].grad, value, rtol=1e-12, atol=1e-12)


def random_input(*shape):
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_()


def initial(name, layers_and_ways, batch):
    count = 2 if name == "lstm" else 1
    shape = (layers_and_ways, batch, H) if batch else (layers_and_ways, H)
    states = [(random_input(*shape).detach() * (k + 1)).requires_grad_() for k in range(count)]
    return states, tuple(states) if count > 1 else states[0]


@pytest.mark.parametrize("name", TORCH)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("form", ["time first", "batch first", "unbatched", "packed", "packed unsorted"])
def test_outputs_states_and_gradients_equal_torch(name, form, num_layers, bidirectional):
    batch_first = form != "time first"
    theirs, ours = pair(name, num_layers=num_layers, bidirectional=bidirectional, batch_first=batch_first)
    count = num_layers * (2 if bidirectional else 1)

    def feed(module):
        states, hx = initial(name, count, 0 if form == "unbatched" else B)
        if form == "unbatched":
            x = random_input(T, E)
            output, final = module(x, hx)
        elif form.startswith("packed"):
            x = random_input(B, T, E)
            lengths = [6, 4, 4, 1] if form == "packed" else [3, 6, 1, 4]
            packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=form == "packed")
            packed_output, final = module(packed, hx)
            output = pad_packed_sequence(packed_output, batch_first=True)[0]
        else:
            x = random_input(B, T, E) if batch_first else random_input(T, B, E)
            output, final = module(x, hx)
        return x, states, [output, *as_tuple(final)]

    compare(name, theirs, ours, feed)


@pytest.mark.parametrize("name", TORCH)
def test_without_bias_and_without_hx(name):
    theirs, ours = pair(name, bias=False)
    assert not any(name.endswith("_b") for name in ours.directions[0].weights)

    def feed(module):
        x = random_input(T, B, E)
        output, final = module(x)
        return x, [], [output, *as_tuple(final)]

    compare(name, theirs, ours, feed)


@pytest.mark.parametrize("name", TORCH)
def test_float32_agrees_to_single_precision(name):
    theirs, ours = pair(name, num_layers=2, bidirectional=True)
    x = random_input(T, B, E).detach().float()
    torch.testing.assert_close(theirs.float()(x)[0], ours.float()(x)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", TORCH)
def test_parameter_count_is_torchs_without_the_second_bias(name):
    theirs, ours = pair(name)
    total = sum(parameter.numel() for parameter in theirs.parameters())
    # One bias of H for each gate; the GRU's candidate keeps both.
    redundant = {"lstm": 4, "gru": 2, "rnn": 1}[name] * H
    assert ours.cell.num_parameters(input_size=E, hidden_size=H) == total - redundant
    assert sum(parameter.numel() for parameter in ours.parameters()) == total - redundant


def test_inter_layer_dropout_of_one_passes_only_the_bias():
    """With everything dropped between the layers, the second layer sees zeros, as torch.nn.LSTM's does."""
    theirs, ours = pair("lstm", num_layers=2, dropout=1.0)
    x = random_input(T, B, E).detach()
    torch.testing.assert_close(theirs(x)[0], ours(x)[0], rtol=1e-12, atol=1e-12)
    assert torch.equal(theirs.eval()(x)[0].isfinite(), ours.eval()(x)[0].isfinite())


@pytest.mark.parametrize("name", TORCH)
def test_a_batch_without_sequences_gives_outputs_without_sequences(name):
    theirs, ours = pair(name, num_layers=2, bidirectional=True)
    x = torch.zeros(T, 0, E, dtype=torch.float64)
    for expected, found in zip(theirs(x), ours(x), strict=True):
        for first, second in zip(as_tuple(expected), as_tuple(found), strict=True):
            assert first.shape == second.shape

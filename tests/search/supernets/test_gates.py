"""The gates of ESS in a supernet, against the cells of the ESS notation and against the equations."""

from __future__ import annotations

import pytest
import torch
from supernets import DOUBLE, chosen_supernet, edge_shares, generator, lay_into, layer
from torch.nn.utils.rnn import pack_sequence
from torch.testing import assert_close

import cellzoo
from cellzoo.notations import darts, ess
from search.supernets.layout import CELL, PAST_INPUTS, PAST_STATES, Layout

INTRA = (("relu", 0), ("tanh", 1), ("sigmoid", 0))
PAST = {PAST_INPUTS: ("tanh", "relu"), PAST_STATES: ("sigmoid", "identity")}


def gated(inter_weights="dense", sizes=None, past=PAST, **options):
    """A supernet with the shares of one ESS cell without `drop`."""
    layout = Layout(nodes=3, delay=2, inter_weights=inter_weights, normalisation="none")
    shares = {CELL: edge_shares(layout, [[edge] for edge in INTRA])}
    for group, operations in past.items():
        shares[group] = torch.zeros(2, len(layout.past_operations), dtype=DOUBLE)
        for row, op in enumerate(operations):
            shares[group][row, layout.past_operations.index(op)] = 1.0
    return chosen_supernet(layout, sizes or layer(4, 4), shares, **options)


def cell_of(inter_weights="dense"):
    return ess.parse(
        ess.Extended(INTRA, (1, 2, 3), PAST[PAST_INPUTS], PAST[PAST_STATES], inter_weights=inter_weights)
    )


@pytest.mark.parametrize("inter_weights", ["dense", "shared", "diag", "lowrank:2"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_supernet_with_one_extended_cell_is_that_cell(inter_weights, bidirectional):
    sizes = layer(4, 4, bidirectional=bidirectional)
    supernet = gated(inter_weights, sizes)
    rnn = cellzoo.rnn(cell_of(inter_weights), 4, 4, bidirectional=bidirectional, dtype=DOUBLE)
    lay_into(rnn, supernet)
    sequences = [torch.randn(steps, 4, dtype=DOUBLE, generator=generator(steps)) for steps in (2, 5, 1, 3)]
    packed = pack_sequence(sequences, enforce_sorted=False)
    output, states = supernet(packed)
    expected, expected_states = rnn(packed)
    assert_close(output.data, expected.data, rtol=1e-12, atol=1e-12)
    assert_close(states[0], expected_states[0], rtol=1e-12, atol=1e-12)


def test_masks_act_as_in_the_cell():
    sizes = layer(3, 5, dropout_x=0.5, dropout_h=0.5)
    supernet = gated(sizes=sizes)
    rnn = cellzoo.rnn(cell_of(), 3, 5, dropout_x=0.5, dropout_h=0.5, dtype=DOUBLE)
    lay_into(rnn, supernet)
    x = torch.randn(5, 2, 3, dtype=DOUBLE, generator=generator(2))
    torch.manual_seed(5)
    output = supernet(x)[0]
    torch.manual_seed(5)
    assert_close(output, rnn(x)[0], rtol=1e-12, atol=1e-12)


def test_text_in_segments_is_as_one_text():
    supernet = gated(sizes=layer(3, 5))
    x = torch.randn(7, 2, 3, dtype=DOUBLE, generator=generator(2))
    whole, final = supernet(x)
    states, parts = None, []
    for part in x.split([1, 2, 4]):
        output, states = supernet(part, states)
        parts.append(output)
    assert_close(torch.cat(parts), whole, rtol=1e-13, atol=1e-13)
    assert_close(states, final, rtol=1e-13, atol=1e-13)


def test_with_both_gates_at_one_it_is_exactly_the_intra_cell():
    # sigmoid(0) = 1/2 on each edge, twice as large a share: every gate is 1. Exactly: in one engine.
    past = {PAST_INPUTS: ("sigmoid",) * 2, PAST_STATES: ("sigmoid",) * 2}
    supernet = gated(sizes=layer(3, 5), past=past, engine="reference")
    for group in (PAST_INPUTS, PAST_STATES):
        supernet.relaxation.get_buffer(f"shares_{group}").mul_(2.0)
    with torch.no_grad():
        for name, weight in supernet.directions[0].weights.items():
            if name.startswith("past"):
                weight.zero_()
    plain = chosen_supernet(
        Layout(nodes=3, normalisation="none"),
        layer(3, 5),
        {CELL: supernet.relaxation()[CELL]},
        engine="reference",
    )
    with torch.no_grad():
        for name, weight in plain.directions[0].weights.items():
            weight.copy_(supernet.directions[0].weights[name])
    rnn = cellzoo.rnn(darts.parse(darts.Genotype(INTRA, (1, 2, 3))), 3, 5, dtype=DOUBLE)
    lay_into(rnn, plain)
    x = torch.randn(6, 2, 3, dtype=DOUBLE, generator=generator(3))
    assert torch.equal(supernet(x)[0], plain(x)[0])
    assert_close(supernet(x)[0], rnn(x)[0], rtol=1e-12, atol=1e-12)


def test_the_mean_of_a_gate_runs_over_steps_that_exist():
    layout = Layout(nodes=1, operations=("identity",), delay=2, normalisation="none")
    theta = torch.rand(2, 5, dtype=DOUBLE, generator=generator(1))
    shares = {CELL: torch.ones(1, 1, dtype=DOUBLE), PAST_INPUTS: theta, PAST_STATES: torch.zeros_like(theta)}
    supernet = chosen_supernet(layout, layer(3, 3), shares)
    weights = supernet.directions[0].weights
    x = torch.randn(3, 1, 3, dtype=DOUBLE, generator=generator(2))

    def mixed(row, value):
        u = value @ weights[f"past_inputs_w{row + 1}"]
        drop, identity, sigmoid, tanh, relu = theta[row]
        return identity * u + sigmoid * u.sigmoid() + tanh * u.tanh() + relu * u.relu() + drop * 0

    gates = [
        torch.ones(1, 3, dtype=DOUBLE),
        mixed(0, x[0]),
        (mixed(0, x[1]) + mixed(1, x[0])) / 2,
    ]
    h = torch.zeros(1, 3, dtype=DOUBLE)
    for step, on_h in enumerate(gates):
        on_x = torch.ones(1, 3) if step == 0 else torch.zeros(1, 3)  # all its operations have no share
        carried = h * on_h
        c, u = ((x[step] * on_x) @ weights["w0_x"] + carried @ weights["w0_h"]).chunk(2, -1)
        s0 = carried + c.sigmoid() * (u.tanh() - carried)
        c, u = (s0 @ weights["w1"]).chunk(2, -1)
        h = s0 + c.sigmoid() * (u - s0)
        assert_close(supernet(x[: step + 1])[0][-1], h, rtol=1e-12, atol=1e-12)


def test_gradients_reach_the_gates_and_pass_gradcheck():
    supernet = gated(sizes=layer(2, 3))
    x = torch.randn(4, 2, 2, dtype=DOUBLE, generator=generator(2))
    shares = [
        torch.rand(tensor.shape, dtype=DOUBLE, generator=generator(4)).requires_grad_()
        for tensor in supernet.relaxation().values()
    ]
    names = list(dict(supernet.relaxation.named_buffers()))

    def run(*shares):
        values = {f"relaxation.{name}": share for name, share in zip(names, shares, strict=True)}
        return torch.func.functional_call(supernet, values, (x,))[0]

    assert torch.autograd.gradcheck(run, shares, atol=1e-6, rtol=1e-6)
    assert all(gradient.abs().sum() > 0 for gradient in torch.autograd.grad(run(*shares).sum(), shares))

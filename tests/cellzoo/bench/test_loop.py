"""The loops that people write: what they compute, and by which operations."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from golden_darts import GOLDEN, H, filled
from torch.utils._python_dispatch import TorchDispatchMode

import cellzoo
from cellzoo.bench.loop import DartsLoop, NodeLoop, build_loop, darts_genotype
from cellzoo.cells.canonical import canonical_form
from cellzoo.cells.ops import LINEAR
from cellzoo.notations import darts

OTHERS = [
    "lstm",
    "gru",
    "nascell",
    "peephole-lstm",
    "mogrifier-lstm",
    "indrnn",
    "scrn",
    "nbnlp-8045",
    "fastgrnn",
]


class Operations(TorchDispatchMode):
    """Counts the operations that torch executes."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        self.counts[function.overloadpacket.__name__] += 1
        return function(*arguments, **(options or {}))


def layer(name, input_size=3, hidden_size=5):
    rnn = cellzoo.rnn(name, input_size, hidden_size, dtype=torch.float64, runtime="reference")
    rnn.reset_parameters(torch.Generator().manual_seed(5))
    return rnn


def loop_of(rnn):
    weights = rnn.direction(0).weights
    return build_loop(rnn.cell, weights, input_size=rnn.input_size, hidden_size=rnn.hidden_size)


def inputs(steps, batch, width):
    generator = torch.Generator().manual_seed(6)
    return torch.randn(steps, batch, width, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("name", GOLDEN)
def test_the_darts_loop_gives_the_golden_values(name):
    """With W_0 and W_i filled as the golden values' own code fills them."""
    genotype = darts.read_genotype(cellzoo.entry(name).genotype)
    loop = DartsLoop(genotype, layer(name, H, H).direction(0).weights)
    shapes = [tuple(weight.shape) for weight in loop.weights]
    assert shapes == [(2 * H, 2 * H), *[(H, 2 * H)] * len(genotype.recurrent)]
    loop.weights = [filled(shape, index).requires_grad_() for index, shape in enumerate(shapes)]
    x = torch.cos(0.3 * torch.arange(3 * 2 * H, dtype=torch.float64)).view(3, 2, H)
    total, last = GOLDEN[name]
    output = loop(x)
    assert output.sum().item() == pytest.approx(total, rel=1e-9)
    assert output[-1, 0].tolist() == pytest.approx(last, abs=6e-11)


@pytest.mark.parametrize("name", ["darts-v2", "random-darts-3", *OTHERS])
def test_loops_compute_what_the_reference_does(name):
    rnn = layer(name)
    loop = loop_of(rnn)
    assert isinstance(loop, DartsLoop if "darts" in name else NodeLoop)
    x = inputs(4, 2, 3)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    output, expected = loop(ours), rnn(theirs)[0]
    torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)
    weighting = torch.cos(torch.arange(output.numel(), dtype=torch.float64)).view_as(output)
    output.backward(weighting)
    expected.backward(weighting)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-12, atol=1e-12)
    norms = [
        sum(weight.grad.square().sum().item() for weight in weights if weight.grad is not None)
        for weights in (loop.weights, rnn.parameters())
    ]
    assert norms[0] == pytest.approx(norms[1], rel=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("name", cellzoo.list_cells())
def test_every_cell_of_the_zoo_has_a_loop(name):
    size = 8  # some cells need as many inputs as units, some a multiple of 4
    rnn = layer(name, size, size)
    x = inputs(3, 2, size)
    torch.testing.assert_close(loop_of(rnn)(x), rnn(x)[0], rtol=1e-12, atol=1e-12)


def test_the_darts_loop_has_the_operations_of_the_darts_code():
    """Nine products a step, each split in two; one cat for x and h, one stack and mean for the output."""
    loop = loop_of(layer("darts-v2"))
    with Operations() as seen, torch.no_grad():
        loop(inputs(7, 2, 3))
    counts = seen.counts
    assert counts["mm"] == 9 * 7
    assert counts["split"] == 9 * 7
    # Sigmoid: nine gates and two candidates. Tanh: the first candidate and two more.
    assert (counts["sigmoid"], counts["tanh"], counts["relu"]) == (11 * 7, 3 * 7, 3 * 7)
    assert (counts["sub"], counts["mul"], counts["add"]) == (9 * 7, 9 * 7, 9 * 7)
    assert counts["mean"] == 7
    assert (counts["cat"], counts["stack"]) == (7, 7 + 1)


@pytest.mark.parametrize("name", ["lstm", "nascell", "nbnlp-8045"])
def test_other_loops_have_a_product_for_each_input_of_a_linear_node(name):
    rnn = layer(name)
    loop = loop_of(rnn)
    with Operations() as seen, torch.no_grad():
        loop(inputs(7, 2, 3))
    linear = sum(len(node.inputs) for node in rnn.cell.live_nodes if node.op == LINEAR)
    assert seen.counts["mm"] + seen.counts["addmm"] == 7 * linear


def test_loops_have_weights_of_their_own():
    rnn = layer("lstm")
    loop = loop_of(rnn)
    loop(inputs(2, 1, 3)).sum().backward()
    assert all(parameter.grad is None for parameter in rnn.parameters())
    assert any(weight.grad is not None for weight in loop.weights)


def test_a_genotype_is_found_whatever_the_names():
    cell = canonical_form(cellzoo.load("darts-v2"))
    assert darts_genotype(cell).recurrent[0] == ("sigmoid", 0)
    assert darts_genotype(cellzoo.load("lstm")) is None
    plain = "Genotype(recurrent=[('relu', 0)], concat=[1], highway=False)"
    zero = "Genotype(recurrent=[('relu', 0), ('none', 1)], concat=[1, 2], none='zero')"
    for text in (plain, zero):
        assert darts_genotype(cellzoo.parse(text, "darts")) is None

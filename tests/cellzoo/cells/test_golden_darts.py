"""The six DARTS-format cells against golden values.

The expected numbers were made with the reference file (rnn/model.py of quark0/darts, float64): parameter
number i is filled with 0.5 sin(0.7 n + i), n the flat row-major index; x = cos(0.3 n); T 3, B 2, D = H = 4,
h0 = 0; the sum of all outputs, then the last step of the first sequence.
"""

from __future__ import annotations

import pytest
import torch
from golden_darts import GOLDEN, H, filled

import cellzoo
from cellzoo.notations.darts import read_genotype


def golden_rnn(name: str) -> cellzoo.CellRNN:
    """Lay the reference's W0 (D + H, 2 H) and W_i (H, 2 H) into the cell's weights."""
    rnn = cellzoo.rnn(name, H, H, dtype=torch.float64)
    weights = rnn.directions[0].weights
    first = filled((2 * H, 2 * H), 0)
    with torch.no_grad():
        for part, columns in (("c0", slice(0, H)), ("u0", slice(H, 2 * H))):
            weights[f"{part}_x"].copy_(first[:H, columns].T)
            weights[f"{part}_h"].copy_(first[H:, columns].T)
        for step, (_, predecessor) in enumerate(read_genotype(cellzoo.entry(name).genotype).recurrent, 1):
            matrix = filled((H, 2 * H), step)
            weights[f"c{step}_s{predecessor}"].copy_(matrix[:, :H].T)
            weights[f"u{step}_s{predecessor}"].copy_(matrix[:, H:].T)
    return rnn


@pytest.mark.parametrize("name", GOLDEN)
def test_outputs_equal_the_golden_values(name):
    total, last = GOLDEN[name]
    x = torch.cos(0.3 * torch.arange(3 * 2 * H, dtype=torch.float64)).view(3, 2, H)
    output, h_n = golden_rnn(name)(x)
    assert output.sum().item() == pytest.approx(total, rel=1e-9)
    # The row was written down with ten digits.
    assert output[-1, 0].tolist() == pytest.approx(last, abs=6e-11)
    assert torch.equal(h_n[0], output[-1])


@pytest.mark.parametrize("name", [*GOLDEN, "random-darts-0"])
def test_gradients_pass_gradcheck(name):
    rnn = cellzoo.rnn(name, 2, 3, dtype=torch.float64)
    rnn.reset_parameters(torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(3, 2, 2, dtype=torch.float64, generator=generator, requires_grad=True)
    h = torch.randn(1, 2, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    names, values = zip(*rnn.named_parameters(), strict=True)

    def run(x, h, *weights):
        return torch.func.functional_call(rnn, dict(zip(names, weights, strict=True)), (x, h))

    assert torch.autograd.gradcheck(run, (x, h, *values), atol=1e-6, rtol=1e-6)


def test_second_order_gradients_pass_gradgradcheck():
    rnn = cellzoo.rnn("darts-v2", 2, 2, dtype=torch.float64, runtime="reference")
    rnn.reset_parameters(torch.Generator().manual_seed(3))
    x = torch.randn(
        2, 1, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(4), requires_grad=True
    )
    assert torch.autograd.gradgradcheck(lambda x: rnn(x)[0], (x,), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "vocabulary", "hidden", "steps", "expected"),
    [
        ("darts-v2", 10_000, 850, 8, 22_960_000),
        ("enas", 10_000, 850, 11, 27_295_000),
        ("darts-v2", 33_278, 700, 8, 33_127_878),
        ("darts-v2", 10_000, 300, 8, 4_810_000),
    ],
)
def test_language_model_parameter_counts_of_the_papers(name, vocabulary, hidden, steps, expected):
    cell = cellzoo.load(name)
    in_cell = cell.num_parameters(input_size=hidden, hidden_size=hidden)
    assert in_cell == (2 * hidden) ** 2 + steps * hidden * 2 * hidden
    assert vocabulary * hidden + vocabulary + in_cell == expected
    on_meta = cellzoo.CellRNN(cell, hidden, hidden, device="meta")
    assert sum(parameter.numel() for parameter in on_meta.parameters()) == in_cell

"""Block-diagonal products and averages in every engine, against sums written out."""

from __future__ import annotations

import pytest
import torch
from engine_cases import ENGINES, TOLERANCES, Case, draw, hold

import cellzoo
from cellzoo.errors import CellError
from cellzoo.runtime.reference import ReferenceRuntime

BLOCKS = cellzoo.parse("h' = tanh(linear(x, h; heads=4)) + linear(h; bias=no, heads=2)", "equations")
AVERAGES = cellzoo.parse(
    "a = linear(x, h)\nd = a - average(a)\n"
    "h' = tanh(d / sqrt(average(d * d) + 1e-5))\noutput = h' + average(h)",
    "equations",
)
OF_X = cellzoo.parse("h' = tanh(linear(average(x) * x, h))", "equations")


def test_a_block_reads_its_own_part_alone():
    cell = cellzoo.parse("h' = linear(x; bias=no, heads=4) + 0 * h", "equations")
    x, states = torch.randn(3, 8, dtype=torch.float64), [torch.zeros(3, 12, dtype=torch.float64)]
    (shape,) = cell.parameter_shapes(input_size=8, hidden_size=12).values()
    assert shape == (12, 2)
    blocks = torch.randn(12, 2, dtype=torch.float64)
    output, _ = ReferenceRuntime(cell)(x, (3,), states, {"h_next_1_0": blocks})
    for unit in range(12):
        first = 2 * (unit // 3)
        expected = sum(x[:, first + k] * blocks[unit, k] for k in range(2))
        torch.testing.assert_close(output[:, unit], expected)


def test_an_average_is_the_mean_of_the_units():
    cell = cellzoo.parse("h' = average(linear(x; bias=no)) + 0 * h", "equations")
    x = torch.randn(3, 4, dtype=torch.float64)
    weight = torch.randn(5, 4, dtype=torch.float64)
    output, _ = ReferenceRuntime(cell)(
        x, (3,), [torch.zeros(3, 5, dtype=torch.float64)], {"h_next_1_0": weight}
    )
    expected = (x @ weight.T).sum(1) / 5
    for unit in range(5):
        torch.testing.assert_close(output[:, unit], expected)


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("cell", [BLOCKS, AVERAGES, OF_X], ids=["blocks", "averages", "of x"])
def test_engines_agree(cell, engine, dtype):
    for case in (
        Case(8, 12, dtype=dtype),
        Case(4, 36, (3, 3, 2), reverse=True, masked_x=True, masked_h=True, dtype=dtype, seed=1),
        Case(12, 8, (2, 1), input_gradient=False, state_gradient=False, frozen=2, bias=False, dtype=dtype),
    ):
        hold(cell, case, [engine], tensors=draw(cell, case))


def test_counts():
    shapes = {"input_size": 8, "hidden_size": 12}
    # 12 x 2 and 12 x 3 of four heads, 12 biases, 12 x 6 of two.
    assert BLOCKS.num_parameters(**shapes) == 24 + 36 + 12 + 72
    # Twice the products; a bias; tanh and a sum.
    assert BLOCKS.flops(**shapes) == 2 * (24 + 36 + 72) + 12 + 12 + 12
    assert cellzoo.draw.equations(BLOCKS) == "h' = tanh(D x + D2 h + b) + D3 h\n"


def test_heads_that_do_not_divide():
    with pytest.raises(CellError, match="has 4 heads, which do not divide the 6 units of 'x'"):
        cellzoo.CellRNN(BLOCKS, 6, 8)
    with pytest.raises(CellError, match="has 4 heads, which do not divide the 10 units of 'h_next_1'"):
        cellzoo.CellRNN(BLOCKS, 8, 10)

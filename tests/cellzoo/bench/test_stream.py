"""What `cellzoo bench --benchmark stream` times."""

import pytest
import torch

from cellzoo.bench.case import LSTM, Shape, benchmark_cases
from cellzoo.bench.stream import GRU_CELL, LSTM_CELL, cases
from cellzoo.errors import CellzooError

SHAPE = Shape("small", 2, 5, 4, 3)


def test_candidates_of_one_cell_compute_the_same():
    """Weights of torch's modules are drawn in the same order, and so are those of engines."""
    found = {
        case.description["cell"]: {name: case.build(name, SHAPE)()[0] for name in case.flops}
        for case in benchmark_cases("stream", [SHAPE], "float64", ("reference", "native"))
    }
    assert list(found["lstm"]) == ["reference", "native", LSTM, LSTM_CELL]
    assert list(found["gru"]) == ["reference", "native", LSTM, GRU_CELL]
    assert list(found["darts-v2"]) == ["reference", "native", LSTM]
    for outputs in found.values():
        assert outputs["native"].shape == (5, 2, 3)
        torch.testing.assert_close(outputs["native"], outputs["reference"])
    torch.testing.assert_close(found["lstm"][LSTM_CELL], found["lstm"][LSTM])


def test_states_go_from_step_to_step():
    (case,) = [case for case in cases(SHAPE, "float64", ("native",)) if case.description["cell"] == "lstm"]
    layer = torch.nn.LSTM(4, 3, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in layer.parameters():
            weight.uniform_(-(3**-0.5), 3**-0.5, generator=generator)
        x = torch.randn(5, 2, 4, dtype=torch.float64, generator=generator)
        torch.testing.assert_close(case.build(LSTM, SHAPE)()[0], layer(x)[0])


def test_a_packed_shape_is_refused():
    with pytest.raises(CellzooError, match="give a padded shape"):
        cases(Shape("packed", 3, 8, 6, 5, packed=True), "float32", ())

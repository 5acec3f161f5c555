"""Layers of torchrecurrent beside the zoo's cells."""

from __future__ import annotations

import pytest
import torch
from one_command import invoke

import cellzoo
from cellzoo.bench import others
from cellzoo.bench.case import LOOP, TORCHRECURRENT, Shape
from cellzoo.bench.cells import cell_case
from cellzoo.bench.others import COUNTERPARTS, build_layer, has_counterpart

E, H = 5, 4
SHAPE = Shape("s", 3, 6, E, H)


def case_of(cell, shape=SHAPE):
    return cell_case(cell, shape, training=True, dtype="float64", engines=())


@pytest.mark.parametrize("name", COUNTERPARTS)
def test_each_runs_and_takes_gradients(name):
    pytest.importorskip(TORCHRECURRENT)
    shape = Shape("s", 3, 6, H, H)
    case = case_of(cellzoo.load(name), shape)
    assert case.flops[TORCHRECURRENT] == case.flops[LOOP]
    output, gradient = case.build(TORCHRECURRENT, shape)()
    assert (output.shape, gradient.shape) == ((6, 3, H), (6, 3, H))
    assert output.dtype == torch.float64
    assert gradient.norm() > 0


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        (
            "fastrnn",
            {
                "n_1_0": "weight_ih",
                "n_1_1": "weight_hh",
                "n_1_b": "bias_ih",
                "alpha": "alpha",
                "beta": "beta",
            },
        ),
        ("indrnn", {"h_next_1_0": "weight_ih", "h_next_1_b": "bias_ih", "u": "vector_u"}),
    ],
)
def test_the_layer_computes_what_the_cell_does(name, weights):
    pytest.importorskip(TORCHRECURRENT)
    layer = build_layer(TORCHRECURRENT, cellzoo.load(name), SHAPE, torch.float64)
    rnn = cellzoo.rnn(name, input_size=E, hidden_size=H, dtype=torch.float64)
    theirs = layer.state_dict()
    rnn.load_state_dict({f"directions.0.{ours}": theirs[f"cells.0.{key}"] for ours, key in weights.items()})
    x = torch.randn(6, 3, E, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(rnn(x)[0], layer(x)[0])


def test_a_cell_is_known_by_its_graph():
    assert has_counterpart(cellzoo.load("mgu"))
    assert not has_counterpart(cellzoo.load("darts-v2"))
    other = cellzoo.parse("h' = tanh(linear(x, h))", "equations", name="mgu")
    assert not has_counterpart(other)


def test_packed_sequences_and_a_missing_package_leave_it_out(monkeypatch, capsys):
    packed = Shape("p", 3, 6, E, H, packed=True)
    assert TORCHRECURRENT not in case_of(cellzoo.load("mgu"), packed).flops
    monkeypatch.setattr(others, "find_spec", lambda name: None)
    monkeypatch.setattr("cellzoo.bench.cells.has_torchrecurrent", others.has_torchrecurrent)
    assert TORCHRECURRENT not in case_of(cellzoo.load("mgu")).flops
    assert invoke(monkeypatch, "bench", "--cells", "mgu,lem,gru", "--shape", "2x3x4x5", "--dry-run") == 0
    assert capsys.readouterr().err == "torchrecurrent, which has lem, mgu, too, is not installed\n"

"""Equal terms: the width at which parameters, operations or time of every cell are those asked for."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from small_problems import Text

import cellzoo
from cellzoo.errors import CellzooError
from tasks.equal_terms import EqualTerms, solve_width
from tasks.problem import LayerSpec
from tasks.sizing import sized
from tasks.step_time import StepTimes
from tasks.training.fit import recurrent_layer

TOKENS = torch.zeros(3, 2, dtype=torch.long)


class Resized(Text):
    """A problem of a layer of 6 values in, as wide as one likes."""

    def __init__(self, layer, **settings):
        super().__init__(5, [(TOKENS, TOKENS)], [(TOKENS, TOKENS)], layer)
        self.settings = EqualTerms(**settings)

    def resized(self, hidden_size):
        return type(self)(replace(self.layer, hidden_size=hidden_size), **self.settings.model_dump())


LAYER = LayerSpec(6, 8, num_layers=2, bidirectional=True)


@pytest.mark.parametrize("name", ["lstm", "gru", "darts-v2", "enas"])
def test_the_nearest_width_is_found_by_counting_the_weights_of_every_width(name):
    cell = cellzoo.load(name)
    for target in (700, 2000):
        problem, held = sized(Resized(LAYER, cell_parameters=target), cell)

        def weights(width, cell=cell):
            layer = recurrent_layer(cell, replace(LAYER, hidden_size=width), torch.Generator())
            return sum(weight.numel() for weight in layer.parameters())

        counts = {width: weights(width) for width in range(1, 40)}
        best = min(counts, key=lambda width: (abs(counts[width] - target), width))
        assert problem.layer == replace(LAYER, hidden_size=best)
        assert (held.quantity, held.target, held.reached, held.hidden_size) == (
            "parameters",
            target,
            counts[best],
            best,
        )


def test_operations_are_held_equal_too():
    cells = [cellzoo.load(name) for name in ("lstm", "gru", "darts-v2")]
    target = LayerSpec(6, 20).flops(cells[0])
    for cell in cells:
        problem, held = sized(Resized(LayerSpec(6, 8), cell_flops=target), cell)
        steps = [replace(problem.layer, hidden_size=held.hidden_size + more).flops(cell) for more in (-1, 0, 1)]
        assert held.reached == steps[1]
        assert abs(steps[1] - target) <= min(abs(steps[0] - target), abs(steps[2] - target))
    assert held.quantity == "flops"


def test_without_a_target_a_problem_stays_as_it_is():
    problem = Resized(LAYER)
    assert sized(problem, cellzoo.load("lstm")) == (problem, None)
    other = Text(5, [(TOKENS, TOKENS)], [(TOKENS, TOKENS)])
    assert sized(other, cellzoo.load("lstm")) == (other, None)


def test_what_cannot_be_held_equal_is_said():
    with pytest.raises(ValueError, match="cell_parameters and cell_flops cannot both be held equal"):
        EqualTerms(cell_parameters=3, cell_flops=3)
    with pytest.raises(
        CellzooError, match=r"cell_parameters = 3: the narrowest layer of lstm has .* allow more"
    ):
        sized(Resized(LAYER, cell_parameters=3), cellzoo.load("lstm"))
    recast = next(
        cell
        for cell in map(cellzoo.load, cellzoo.list_cells())
        if any(node.op == "recast" for node in cell.live_nodes)
    )
    with pytest.raises(CellzooError, match=r"cell_flops = 3,000: .*must equal the hidden size"):
        sized(Resized(LAYER, cell_flops=3000), recast)


def test_a_width_is_a_multiple_of_what_the_cell_needs_and_has_an_end():
    assert solve_width(lambda width: width, 22, step=4) == 20
    assert solve_width(lambda width: width, 23, step=4) == 24
    with pytest.raises(CellzooError, match="no width up to 131,072 units reaches 9"):
        solve_width(lambda width: 1.0, 9)


def test_time_is_measured_against_lstm_and_once_for_all_seeds(tmp_path, monkeypatch):
    """A wider layer takes longer; the width that was found is kept, and what is kept decides."""
    lstm = cellzoo.load("lstm")
    times = StepTimes(lstm, LayerSpec(16, 64), 32, lambda width: LayerSpec(16, width))
    assert 0.5 < times.ratio(64) < 2
    assert times.ratio(512) > 2
    asked = []
    monkeypatch.setattr(StepTimes, "ratio", lambda self, width: asked.append(width) or width / 50)
    problem = Resized(LayerSpec(16, 64), cell_time=1.0)
    first, held = sized(problem, lstm, tmp_path)
    assert (held.quantity, held.target) == ("time", 1.0)
    assert held.hidden_size == pytest.approx(50, rel=1 / 16)
    assert first.layer.hidden_size == held.hidden_size
    assert held.reached == held.hidden_size / 50
    del asked[:]
    assert sized(problem, lstm, tmp_path)[1] == held
    assert not asked
    (kept,) = (tmp_path / "equal-time").iterdir()
    kept.write_text(json.dumps({"hidden_size": 7, "reached": 1.5}))
    assert sized(problem, lstm, tmp_path)[1].hidden_size == 7
    sized(problem, cellzoo.load("gru"), tmp_path)
    assert len(list((tmp_path / "equal-time").iterdir())) == 2

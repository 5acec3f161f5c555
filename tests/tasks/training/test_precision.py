"""The setting `precision` of a training; records do not name it if it is `full`."""

from __future__ import annotations

import pytest
import torch
from tagging_samples import train

import cellzoo
from cellzoo.runtime.native.binding import has_bfloat16
from tasks.problem import LayerSpec
from tasks.settings import configure, join, plain, recorded, with_defaults
from tasks.training import fit
from tasks.training.settings import TrainingSettings


@pytest.mark.parametrize("stack", [{}, {"below": (6,)}])
def test_the_layers_have_it(stack):
    generator = torch.Generator()
    built = fit.recurrent_layer(cellzoo.load("gru"), LayerSpec(8, 8, **stack), generator, "bf16")
    layers = [built] if not stack else list(built.layers)
    assert {layer.precision for layer in layers} == {"bf16"}


def test_records_name_it_unless_it_is_full():
    kind = join("t", TrainingSettings())
    full = configure(kind, {}, "t")
    assert "precision" not in recorded(full)
    assert {**recorded(full), "precision": "full"} == plain(full)
    rounded = configure(kind, {"precision": "bf16"}, "t")
    assert recorded(rounded) == plain(rounded)
    assert configure(kind, recorded(rounded), "t") == rounded
    # Of a task that has another default, what is left out would be that.
    other = with_defaults("t", rounded)
    again = configure(other, {"precision": "full"}, "t")
    assert recorded(again)["precision"] == "full"
    assert configure(other, recorded(again), "t") == again


@pytest.mark.skipif(not has_bfloat16(), reason="this processor has no products of bfloat16 (AMX)")
def test_a_training_lies_beside_the_one_in_full(tmp_path):
    found = {name: train(tmp_path / name, precision=name) for name in ("full", "bf16")}
    # Of the first epoch: after it the two go apart, as two seeds do.
    losses = {name: fitted.standing.history[0]["train_loss"] for name, fitted in found.items()}
    assert losses["bf16"] != losses["full"]
    assert losses["bf16"] == pytest.approx(losses["full"], rel=0.01)
    assert found["bf16"].notes == found["full"].notes


def test_where_it_cannot_be_had_the_result_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(fit, "has_bfloat16", lambda: False)
    assert "full precision" in train(tmp_path, precision="bf16").notes[-1]

"""Every method goes on exactly where it was stopped, and ends in a cell that loads and runs."""

from __future__ import annotations

import pytest
import torch
from fake_search import write_text
from search.methods.registry import kinds
from search.run.directory import RunDirectory
from search.run.events import read_events, without_times
from search.run.listener import Silent
from search.run.loop import run_search
from search.run.prepare import request_plan

import cellzoo

TEXT = {
    "epochs": 4,
    "hidden_size": 6,
    "batch_size": 4,
    "validation_batch_size": 2,
    "bptt": 8,
    "evaluation_streams": 4,
    "min_count": 1,
    "train_words": 200,
    "dropout_x": 0.2,
    "dropout_h": 0.2,
}
METHODS = {
    "darts": {"nodes": 3, "order": 2, "optimizer": "sgd", "learning_rate": 1.0},
    "egs": {"nodes": 3, "learning_rate": 1.0},
    "enas": {"nodes": 3, "controller_steps": 2, "candidates": 4, "judging_batches": 1},
    "ess": {"nodes": 3, "learning_rate": 1.0},
    "idarts": {"nodes": 3, "learning_rate": 1.0},
    "random": {"nodes": 3, "epochs_each": 2},
    "random-ws": {"nodes": 3, "candidates": 4, "candidates_an_epoch": 2, "judging_batches": 1},
}


class Stop(Silent):
    """Stops within the third epoch."""

    def __init__(self):
        self.epochs = 0

    def epoch(self, event):
        self.epochs += 1

    def step(self, step, numbers):
        if self.epochs == 2 and step == 4:
            raise KeyboardInterrupt


def plan(folder, method, **changes):
    return request_plan(
        method, str(folder / "book.txt"), seed=2, device="cpu", changes={**TEXT, **METHODS[method], **changes}
    )


def events(folder):
    return without_times(read_events(folder / "events.jsonl"))


def test_all_methods_are_here():
    assert set(kinds()) == set(METHODS)


@pytest.mark.parametrize("method", METHODS)
def test_a_stopped_search_goes_on_exactly(tmp_path, method):
    write_text(tmp_path / "book.txt")
    torch.set_num_threads(1)
    run_search(plan(tmp_path, method), RunDirectory(tmp_path / "whole"), Silent())
    with pytest.raises(KeyboardInterrupt):
        run_search(plan(tmp_path, method), RunDirectory(tmp_path / "part"), Stop())
    assert not (tmp_path / "part" / "found.toml").exists()
    torch.manual_seed(99)
    run_search(plan(tmp_path, method), RunDirectory(tmp_path / "part"), Silent())
    whole = events(tmp_path / "whole")
    assert events(tmp_path / "part") == whole
    epochs = [event for event in whole if event["event"] == "epoch"]
    assert [event["epoch"] for event in epochs] == [1, 2, 3, 4]
    for event in epochs:
        assert {"train_loss", "entropy", "deviation", "learning_rate", "cell", "validation"} <= set(event)
    cell = cellzoo.load(tmp_path / "part" / "found.toml")
    assert cell.hash == whole[-1]["cell"]["hash"]
    output, _ = cellzoo.CellRNN(cell, 5, 5)(torch.randn(3, 2, 5))
    assert torch.isfinite(output).all()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_searches_on_tags(tmp_path, method):
    settings = {**METHODS[method], "learning_rate": 0.01, "epochs": 2, "hidden_size": 6, "word_size": 5}
    tags = request_plan(
        method,
        "small-ner",
        device="cpu",
        changes={**settings, "train_sentences": 320, "validation_sentences": 64},
    )
    run_search(tags, RunDirectory(tmp_path / "out"), Silent())
    assert cellzoo.entry(tmp_path / "out" / "found.toml").searched_on == "small-ner (tagging)"
    first, last = (e for e in read_events(tmp_path / "out" / "events.jsonl") if e["event"] == "epoch")
    assert last["train_loss"] < first["train_loss"]

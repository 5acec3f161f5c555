"""Every method on a text and in the tagger: stopped and resumed exactly, with a cell that runs."""

from __future__ import annotations

import pytest
import torch
from fake_search import events_of, search, write_text

import cellzoo
from search.methods.kind import MethodKind
from search.registry import kinds
from search.run.request import request_search

TEXT = {
    "epochs": 3,
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
TAGS = {"epochs": 3, "hidden_size": 6, "word_size": 5, "train_sentences": 64, "dev_sentences": 32, "crf": True}
TAGS |= {"character_hidden": 3, "character_size": 4}
METHODS = {
    "darts": {"nodes": 3, "order": 2, "optimizer": "sgd", "learning_rate": 0.5},
    "egs": {"nodes": 3},
    "enas": {"nodes": 3, "controller_steps": 2, "candidates": 4, "candidate_batches": 1},
    "ess": {"nodes": 3},
    "idarts": {"nodes": 3},
    "random-ws": {"nodes": 3, "candidates": 4, "candidates_an_epoch": 2, "candidate_batches": 1},
}


class Stop:
    """Interrupts within the second epoch."""

    def __getattr__(self, name):
        return lambda *arguments: None

    def progressed(self, job, fraction, words):
        if 0.4 < fraction < 0.66:
            raise KeyboardInterrupt


def test_all_methods_are_here():
    assert set(METHODS) == {name for name, kind in kinds().items() if isinstance(kind, MethodKind)}


@pytest.mark.parametrize("where", ["text", "tags"])
@pytest.mark.parametrize("method", METHODS)
def test_a_stopped_search_goes_on_exactly(tmp_path, method, where):
    on = str(write_text(tmp_path / "book.txt")) if where == "text" else "small-ner"
    changes = {**(TEXT if where == "text" else TAGS), **METHODS[method]}
    plan = request_search(method, on, changes=changes)
    report = search(plan, tmp_path / "whole", seeds=(2,))
    with pytest.raises(KeyboardInterrupt):
        search(plan, tmp_path / "part", seeds=(2,), listener=Stop())
    assert not (tmp_path / "part" / "found.toml").exists()
    torch.manual_seed(99)
    search(plan, tmp_path / "part", seeds=(2,))
    whole = events_of(tmp_path / "whole")
    assert events_of(tmp_path / "part") == whole
    epochs = [event for event in whole if event["event"] == "epoch"]
    for event in epochs:
        assert {"train_loss", "entropy", "deviation", "learning_rate", "cell", "dev"} <= set(event)
    assert where == "text" or epochs[-1]["train_loss"] < epochs[0]["train_loss"]
    of_tags = {"loss", "f1", "precision", "recall", "seqeval_f1", "strict_f1"}
    of_text = {"loss", "perplexity", "bits_per_character"}
    assert set(epochs[0]["dev"]) == (of_text if where == "text" else of_tags)
    cell = cellzoo.load(tmp_path / "part" / "found.toml")
    assert cell.hash == whole[-1]["cell"]["hash"] == report.best.cell.hash
    output, _ = cellzoo.CellRNN(cell, 5, 5)(torch.randn(3, 2, 5))
    assert torch.isfinite(output).all()

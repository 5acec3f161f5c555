"""The tasks on any text and on any tagged corpus."""

from __future__ import annotations

import math

import pytest
import torch
from fake_search import write_text
from real_data import data_folder
from tasks.language_modeling.text_lm import TextLanguageModel, TextSettings

import cellzoo
from cellzoo.errors import CellzooError
from tasks.data.locate import find
from tasks.registry import build_task
from tasks.task import Context, Subject

GRU = Subject("gru", cellzoo.load("gru"), "zoo", "", "")
SMALL = {
    "hidden_size": 12,
    "batch_size": 4,
    "bptt": 10,
    "epochs": 2,
    "optimizer": "adam",
    "learning_rate": 0.02,
    "evaluation_streams": 1,
}


def context(folder, data, name, report=lambda fraction, words: None):
    for part in ("work", "artifacts"):
        (folder / part).mkdir(exist_ok=True)
    return Context({name: find(name, data)}, folder / "work", folder / "artifacts", "cpu", report)


def test_perplexities_follow_from_the_items_and_every_line_is_one(tmp_path):
    write_text(tmp_path / "words.txt")
    task = TextLanguageModel(TextSettings(corpus="text:words.txt", **SMALL))
    outcome = task.run(GRU, 3, context(tmp_path, tmp_path, "text:words.txt"))
    for split, metric in (("test", "perplexity"), ("dev", "dev_perplexity")):
        items = [item for item in outcome.items if item["split"] == split]
        assert [item["index"] for item in items] == list(range(12))
        assert all(item["tokens"] == 8 for item in items)
        mean = sum(item["nll"] for item in items) / (12 * 8)
        assert outcome.metrics[metric] == pytest.approx(math.exp(mean), rel=1e-9)
    assert outcome.metrics["perplexity"] < 14, "better than a draw from the vocabulary"
    assert outcome.tokens == 2 * 96 * 8


def test_a_stopped_training_goes_on_exactly(tmp_path):
    write_text(tmp_path / "words.txt")
    task = TextLanguageModel(TextSettings(corpus="text:words.txt", **SMALL))
    for part in ("whole", "part"):
        (tmp_path / part).mkdir()
    whole = task.run(GRU, 0, context(tmp_path / "whole", tmp_path, "text:words.txt"))

    def stop(fraction, words):
        if fraction > 0.6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        task.run(GRU, 0, context(tmp_path / "part", tmp_path, "text:words.txt", stop))
    torch.manual_seed(5)
    again = task.run(GRU, 0, context(tmp_path / "part", tmp_path, "text:words.txt"))
    assert again.items == whole.items
    other = task.run(GRU, 1, context(tmp_path / "whole", tmp_path, "text:words.txt"))
    assert other.items != whole.items


def test_the_settings_name_the_data():
    assert build_task("text-lm", {"corpus": "wikitext-2"}).data == ("wikitext-2",)
    assert build_task("conll-tagging", {"corpus": "conll:a,b,c"}).data == ("conll:a,b,c",)
    for task, corpus in (("text-lm", "conll2000"), ("conll-tagging", "ptb"), ("text-lm", "../x")):
        with pytest.raises(CellzooError, match="corpus"):
            build_task(task, {"corpus": corpus})


def test_penn_treebank_has_an_item_a_line(tmp_path):
    folder = data_folder("ptb")
    settings = {**SMALL, "epochs": 1, "hidden_size": 2, "evaluation_streams": 200, "batch_size": 100}
    task = TextLanguageModel(TextSettings(corpus="ptb", train_words=2000, **settings))
    outcome = task.run(GRU, 0, context(tmp_path, folder, "ptb"))
    test = [item for item in outcome.items if item["split"] == "test"]
    assert (len(test), sum(item["tokens"] for item in test)) == (3761, 82_430)


def test_a_corpus_by_name_is_tagged_as_its_own_task_does(tmp_path):
    settings = {"epochs": 1, "hidden_size": 8, "word_size": 8}
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    own = build_task("small-ner", settings).run(GRU, 2, context(tmp_path / "one", None, "small-ner"))
    any_corpus = build_task("conll-tagging", {**settings, "corpus": "small-ner"})
    same = any_corpus.run(GRU, 2, context(tmp_path / "two", None, "small-ner"))
    assert same.metrics == own.metrics
    assert list(same.items) == list(own.items)

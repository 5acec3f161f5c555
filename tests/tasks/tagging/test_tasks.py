"""The NER tasks: what they declare, what they refuse, and a whole run of each."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict

import pytest
from real_data import data_folder
from tagging_samples import context
from tasks.tagging.ner import SmallNer, SmallNerSettings, Wnut17, Wnut17Settings

import cellzoo
from cellzoo.errors import CellzooError
from tasks.data.locate import find
from tasks.settings import configure
from tasks.tagging.scores import micro
from tasks.task import Context, Subject


def subject(name):
    return Subject(name, cellzoo.load(name), "zoo")


def check(task, outcome, sentences):
    assert set(outcome.metrics) == {metric.name for metric in task.metrics}
    assert next(iter(task.metrics)).name == "f1"
    test = [item for item in outcome.items if item["split"] == "test"]
    assert {split: sum(item["split"] == split for item in outcome.items) for split in sentences} == sentences
    score = micro(test)
    assert (outcome.metrics["f1"], outcome.metrics["recall"]) == (score.f1, score.recall)
    assert outcome.metrics["precision"] == score.precision
    for item in outcome.items:
        assert [item["tp"], item["fp"], item["fn"]] == [
            sum(counts) for counts in zip(*item["types"].values(), strict=True)
        ] or not item["types"]
    assert set(outcome.history[0]) >= {"epoch", "train_loss", "dev_f1", "learning_rate", "seconds"}
    json.dumps([dict(outcome.metrics), list(outcome.items), list(outcome.history)], allow_nan=False)


def test_small_ner_learns_something_but_not_everything(tmp_path):
    task = SmallNer()
    found = {"small-ner": find("small-ner")}
    outcome = task.run(subject("gru"), 0, Context(found, tmp_path, tmp_path, "cpu", lambda *_: None))
    check(task, outcome, {"dev": 150, "test": 300})
    assert len(outcome.history) == task.config.epochs
    assert 20 < outcome.metrics["f1"] < 99


@pytest.mark.slow
def test_an_epoch_of_wnut17(tmp_path):
    folder = data_folder("wnut17")
    task = Wnut17(Wnut17Settings(epochs=1, hidden_size=16))
    found = {name: find(name, folder) for name in task.data}
    outcome = task.run(subject("lstm"), 0, Context(found, tmp_path, tmp_path, "cpu", lambda *_: None))
    check(task, outcome, {"dev": 1009, "test": 1287})
    assert outcome.tokens == 62730
    assert outcome.parameters.total - outcome.parameters.total_without_embeddings > 83341 * 50


def test_the_frozen_settings_of_wnut17():
    settings = asdict(Wnut17Settings())
    expected = {"hidden_size": 256, "layers": 1, "bidirectional": True, "crf": True, "reproject": True}
    expected |= {"locked_dropout": 0.5, "word_dropout": 0.05, "dropout": 0.0, "epochs": 25, "batch_size": 32}
    expected |= {"optimizer": "sgd", "learning_rate": 0.1, "clip": 5.0, "anneal_factor": 0.5, "patience": 3}
    assert {name: settings[name] for name in expected} == expected
    assert json.loads(json.dumps(settings)) == settings


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("hidden_size", 0, "at least 1"),
        ("epochs", 0, "at least 1"),
        ("locked_dropout", 1.0, "at least 0 and below 1"),
        ("learning_rate", -0.1, "above 0"),
        ("anneal_factor", 1.0, "above 0 and below 1"),
        ("word_min_count", 0, "at least 1"),
    ],
)
def test_a_setting_out_of_range_names_itself_and_what_would_be_right(name, value, right):
    with pytest.raises(CellzooError) as caught:
        configure(SmallNerSettings, {name: value}, "small-ner")
    assert f"setting {name}: {value!r} is out of range; it must be {right}" in str(caught.value)


@pytest.mark.parametrize(("name", "value"), [("optimizer", "rmsprop"), ("tag_format", "IOB1"), ("epochs", 2.5)])
def test_a_setting_of_another_kind_is_refused(name, value):
    with pytest.raises(CellzooError, match=name):
        configure(SmallNerSettings, {name: value}, "small-ner")


def test_a_baseline_is_refused(tmp_path):
    with pytest.raises(CellzooError, match="small-ner: has no baseline 'skip-gram'"):
        SmallNer().run(Subject("skip-gram", None, "baseline"), 0, context(tmp_path))


def test_looking_at_the_tasks_imports_nothing_heavy():
    code = (
        "import sys, tasks.tagging, tasks.tagging.ner as ner; ner.SmallNer(); ner.Wnut17(); "
        "print([name for name in ('torch', 'flair', 'gensim', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_package_names_what_it_has():
    import tasks.tagging

    assert tasks.tagging.CellTagger.__name__ == "CellTagger"
    assert tasks.tagging.CharacterFeatures.__name__ == "CharacterFeatures"
    with pytest.raises(AttributeError, match="Cell_Tagger"):
        _ = tasks.tagging.Cell_Tagger

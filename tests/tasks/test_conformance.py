"""The kits over every registered problem and task, over a toy problem, and over broken ones."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

import pytest
import sequence_sums
import torch
from small_examples import write_pairs

from search.supernets.layout import Layout
from search.supernets.network import Supernet
from search.supernets.relaxation import LocalSoftmax
from tasks import testing
from tasks.problem import BatchLoss
from tasks.registry import KINDS, PROBES, PROBLEMS, find_probe, task_names
from tasks.testing import ProblemConformance, TaskConformance, Trial


def supernet(problem, generator):
    layout = Layout(3, ("none", "tanh", "relu", "sigmoid", "identity"))
    relaxation = LocalSoftmax(layout, problem.layer, generator)
    return Supernet(layout, problem.layer, relaxation, generator)


def spans(items):
    counts = [sum(item[name] for item in items) for name in ("tp", "fp", "fn")]
    tp, fp, fn = counts
    return {"f1": 100 * 2 * tp / (2 * tp + fp + fn) if sum(counts) else math.nan}


def perplexity(items):
    nll = sum(item["nll"] for item in items)
    bits = nll / math.log(2) / sum(item["characters"] for item in items)
    return {"perplexity": math.exp(nll / sum(item["tokens"] for item in items)), "bits_per_character": bits}


class TestTagging(ProblemConformance):
    kind = "tagging"
    settings: ClassVar = {
        "corpus": "small-ner",
        "train_sentences": 40,
        "dev_sentences": 30,
        "hidden_size": 6,
        "word_size": 5,
        "character_size": 3,
        "character_hidden": 4,
        "batch_size": 8,
    }
    neutral: ClassVar = {"validation_batch_size": 3}
    recompute = staticmethod(spans)
    layers = (supernet,)

    @pytest.mark.slow  # test_resume.py of tagging trains in two processes
    def test_other_process(self):
        super().test_other_process()


class TestLanguageModeling(ProblemConformance):
    kind = "language-modeling"
    settings: ClassVar = {
        "corpus": "news",
        "min_count": 6,
        "train_words": 2000,
        "dev_words": 600,
        "hidden_size": 6,
        "batch_size": 8,
        "bptt": 8,
    }
    neutral: ClassVar = {"evaluation_streams": 3, "validation_batch_size": 5}
    tolerance = 1e-4
    recompute = staticmethod(perplexity)
    layers = (supernet,)

    @pytest.mark.slow  # test_training.py of language modelling trains in two processes
    def test_other_process(self):
        super().test_other_process()


@pytest.fixture(scope="class")
def letters(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("letters")
    (folder / "a.txt").write_text("the cat sat\n\non the mat\nunder a tree\n" * 30)
    lines = ['name = "letters"', 'title = "Letters"', 'format = "lines"', 'files = { all = "a.txt" }']
    (folder / "letters.toml").write_text("\n".join(lines))
    request.cls.settings = {
        "corpus": str(folder / "letters.toml"),
        "hidden_size": 6,
        "embedding_size": 4,
        "batch_size": 4,
        "bptt": 8,
    }


@pytest.mark.usefixtures("letters")
class TestCharacterModeling(ProblemConformance):
    kind = "character-modeling"
    neutral: ClassVar = {"evaluation_streams": 3, "validation_batch_size": 5}
    tolerance = 1e-4
    recompute = staticmethod(perplexity)
    layers = (supernet,)

    @pytest.mark.slow  # as language modelling, whose trainer it is
    def test_other_process(self):
        super().test_other_process()


def accuracy(items):
    return {"accuracy": 100 * sum(item["gold"] == item["prediction"] for item in items) / len(items)}


@pytest.fixture(scope="class")
def pairs(request, tmp_path_factory):
    request.cls.settings = {
        "corpus": write_pairs(tmp_path_factory.mktemp("pairs"), train=60, dev=20),
        "hidden_size": 6,
        "word_size": 5,
        "mlp_size": 4,
        "batch_size": 8,
    }


@pytest.mark.usefixtures("pairs")
class TestClassification(ProblemConformance):
    kind = "classification"
    neutral: ClassVar = {"validation_batch_size": 3}
    recompute = staticmethod(accuracy)
    layers = (supernet,)


class TestSequenceSums(ProblemConformance):
    kind = "sequence_sums:KIND"
    recompute = staticmethod(lambda items: {"error": sum(item["error"] for item in items) / len(items)})
    layers = (supernet,)


def test_every_problem_of_ours_is_under_test():
    tested = {problem.kind for problem in (TestClassification, TestTagging, TestLanguageModeling)}
    tested |= {TestCharacterModeling.kind}
    assert tested == set(KINDS[PROBLEMS])


@pytest.mark.parametrize(
    "name", [name for name in task_names() if name not in ("conll-tagging", "text-lm", "text-similarity")]
)
def test_every_task_declares_what_records_need(name):
    testing.check_declarations(name, {})


@pytest.mark.parametrize(
    ("name", "corpus"),
    [("conll-tagging", "conll:a.conll"), ("text-lm", "text:a.txt"), ("text-similarity", "text:a.txt")],
)
def test_tasks_of_the_users_own_data_do_so_too(name, corpus):
    testing.check_declarations(name, {"corpus": corpus})


@pytest.mark.parametrize("name", KINDS[PROBES])
def test_every_probe_has_data_metrics_and_defaults(name):
    kind = find_probe(name)
    assert kind.name == name
    assert kind.summary
    assert kind.data(kind.settings())
    metrics = kind.metrics(kind.settings())
    assert len({metric.name for metric in metrics}) == len(metrics)


class TestSmallNer(TaskConformance):
    task = "small-ner"
    settings: ClassVar = {"epochs": 1, "hidden_size": 6, "word_size": 5, "train_sentences": 60}


class TestWordSimilarity(TaskConformance):
    task = "news-similarity"
    settings: ClassVar = {
        "news-lm.epochs": 1,
        "news-lm.train_words": 4000,
        "hidden_size": 6,
        "news-similarity.skip_gram_epochs": 1,
    }

    def test_declarations(self):
        testing.check_declarations(self.task, {})

    @pytest.mark.slow
    def test_repeats(self, tmp_path):
        super().test_repeats(tmp_path)


class Broken(sequence_sums.SequenceSums):
    """A toy problem with one fault."""

    fault = ""

    def train_batches(self, generator):
        if self.fault == "batches":
            generator = None
        return super().train_batches(generator)

    def loss(self, model, batch, carry):
        found = super().loss(model, batch, carry)
        match self.fault:
            case "carry":
                return BatchLoss(found.loss, found.penalised, found.loss)
            case "cut off":
                return BatchLoss(found.loss, model.rnn(batch.content.unsqueeze(2))[0].square().mean())
            case "mode of the loss":
                model.eval()
        return found

    def evaluate(self, model, split, report=lambda fraction: None):
        if self.fault == "draws":
            torch.rand(())
        found = super().evaluate(model, split, report)
        match self.fault:
            case "mode":
                model.eval()
                model.rnn.train()
            case "items":
                found = replace(found, items=[{**item, "error": 2 * item["error"]} for item in found.items])
            case "metric":
                found = replace(found, metrics={"loss": 1.0})
            case "drifts":
                self.calls = getattr(self, "calls", 0) + 1
                found = replace(found, metrics={**found.metrics, "error": float(self.calls)})
            case "trains":
                model.output.data += 1
        return found


BROKEN = replace(sequence_sums.KIND, build=lambda data, settings, device, cache=None: Broken(settings, device))


@pytest.mark.parametrize(
    ("fault", "check", "words"),
    [
        ("batches", testing.check_batches, "from another generator than its own"),
        ("carry", testing.check_loss, "the carry is not detached"),
        ("mode of the loss", testing.check_loss, "changes the mode"),
        ("cut off", testing.check_gradients, "no gradient reaches output"),
        ("draws", testing.check_evaluation, "draws random numbers"),
        ("mode", testing.check_evaluation, "changes the mode"),
        ("trains", testing.check_evaluation, "differs"),
        ("drifts", testing.check_evaluation, "a second evaluation differs"),
        ("metric", testing.check_evaluation, "lacks 'error'"),
        ("items", testing.check_items, "by the items"),
    ],
)
def test_a_fault_is_found(monkeypatch, fault, check, words):
    monkeypatch.setattr(Broken, "fault", fault)
    trial = Trial(f"{__name__}:BROKEN", recompute=TestSequenceSums.recompute)
    monkeypatch.setattr(Trial, "found", BROKEN)
    with pytest.raises(AssertionError, match=words):
        check(trial)

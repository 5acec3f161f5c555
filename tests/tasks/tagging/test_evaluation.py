"""Evaluation by the tagging problem, also on data without entities or with unknown types."""

import math
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from seqeval.metrics.sequence_labeling import get_entities
from tagging_samples import (
    CPU,
    DATA,
    DEV,
    NONE,
    SOME,
    STRONG,
    TEST,
    TINY,
    TRAIN,
    corpus_file,
    generator,
    model_of,
    predicted_tags,
    problem,
    spans_of,
    train,
)

from cellzoo.errors import DataError
from tasks.data.conll import TaggedSentence
from tasks.data.read import TaggedData
from tasks.tagging import tagging as tagging_module
from tasks.tagging.corpus import flair_sentences
from tasks.tagging.problem import KIND
from tasks.tagging.settings import TaggingSettings


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A tagger that finds some spans and misses others."""
    tagging = problem(**STRONG)
    return tagging, train(tmp_path_factory.mktemp("trained"), tagging, epochs=4).model


def with_split(split, sentences):
    return replace(DATA, splits={**DATA.splits, split: sentences})


@pytest.mark.parametrize("crf", [True, False])
@pytest.mark.parametrize("split", ["dev", "test"])
def test_evaluation_is_conllevals_of_the_tags_that_flair_predicts(tmp_path, crf, split):
    tagging = problem(crf=crf, **STRONG)
    model = train(tmp_path, tagging, epochs=4).model
    ours = tagging.evaluate(model, split)
    sentences = flair_sentences(DATA.splits[split])
    flairs = model.evaluate(sentences, "ner", out_path=None, mini_batch_size=len(sentences))
    assert 0 < ours.metrics["f1"] < 100
    assert ours.metrics["loss"] == pytest.approx(flairs.loss, rel=1e-5)
    predicted = predicted_tags(model, sentences)
    total = [0, 0, 0]
    for sentence, item, tags in zip(sentences, ours.items, predicted, strict=True):
        gold = set(spans_of(sentence, "ner"))
        found = {(start, end + 1, kind) for kind, start, end in get_entities(tags)}
        counts = list(map(len, (gold & found, found - gold, gold - found)))
        assert [item["tp"], item["fp"], item["fn"]] == counts
        total = [a + b for a, b in zip(total, counts, strict=True)]
    tp, fp, fn = total
    assert ours.metrics["f1"] == ours.metrics["seqeval_f1"] == pytest.approx(100 * 2 * tp / (2 * tp + fp + fn))
    assert ours.metrics["precision"] == pytest.approx(100 * tp / (tp + fp))
    assert [item["index"] for item in ours.items] == list(range(len(sentences)))


def test_neither_batches_nor_padding_change_an_evaluation(trained, monkeypatch):
    tagging, model = trained
    expected = tagging.evaluate(model, "test")
    for size in (1, 2, 5):
        monkeypatch.setattr(tagging_module, "_EVALUATION_BATCH", size)
        found = tagging.evaluate(model, "test")
        assert found.items == expected.items
        assert found.metrics == pytest.approx(dict(expected.metrics), rel=1e-6)


def test_an_evaluation_draws_nothing_and_leaves_the_mode_and_the_sentences(trained):
    tagging, model = trained
    model.train()
    model.rnn.eval()
    modes = [module.training for module in model.modules()]
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    reports = []
    first = tagging.evaluate(model, "dev", reports.append)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before[1:]
    assert [module.training for module in model.modules()] == modes
    assert tagging.evaluate(model, "dev") == first
    assert (reports[-1], reports) == (1.0, sorted(reports))
    assert not any(token._embeddings for sentence in tagging._sentences["dev"] for token in sentence)
    assert {name for s in tagging._sentences["dev"] for name in s.annotation_layers} == {"ner"}


def test_no_span_to_find_and_none_found_is_undefined_and_said(trained):
    empty = [TaggedSentence(("nothing", "here"), ("O", "O"))]
    tagging = problem(with_split("test", empty), **STRONG)
    model = model_of(tagging)
    with torch.no_grad():
        model.linear.bias[model.label_dictionary.get_idx_for_item("O")] += 1e3
    evaluation = tagging.evaluate(model, "test")
    assert all(math.isnan(evaluation.metrics[name]) for name in ("f1", "precision", "recall"))
    assert math.isfinite(evaluation.metrics["loss"])
    assert evaluation.notes == ("test holds no entity and none was found, so its F1 is undefined",)
    silent = tagging.evaluate(model, "dev")
    assert (silent.metrics["f1"], silent.metrics["recall"]) == (0.0, 0.0)
    assert math.isnan(silent.metrics["precision"])
    assert silent.notes == ("nothing was found in dev, so its precision is undefined",)


def test_a_dev_without_entities_still_chooses_an_epoch(tmp_path):
    data = with_split("dev", [TaggedSentence(("nothing", "here"), ("O", "O"))] * 3)
    fitted = train(tmp_path, problem(data), epochs=3)
    losses = [epoch["dev"]["loss"] for epoch in fitted.standing.history]
    scored = [epoch["dev"]["f1"] for epoch in fitted.standing.history]
    assert scored == [None] * 3
    assert fitted.best_epoch == 1 + losses.index(min(losses))


def test_spans_found_where_there_is_none_leave_f1_undefined(trained):
    _, model = trained
    nothing = [TaggedSentence(one.tokens, ("O",) * len(one.tokens)) for one in TEST]
    evaluation = problem(with_split("test", nothing), **STRONG).evaluate(model, "test")
    found = sum(item["fp"] for item in evaluation.items)
    assert found > 0
    assert math.isnan(evaluation.metrics["f1"])
    assert math.isnan(evaluation.metrics["strict_f1"])
    assert evaluation.notes == (f"test holds no entity and {found} were found, so its F1 is undefined",)


def test_dev_can_be_trained_on_and_results_say_so():
    ours, plain = problem(train_with_dev=True, **STRONG), problem(**STRONG)
    drawn = [sentence for batch in ours.train_batches(generator()) for sentence in batch.content]
    words = sorted(sentence.to_plain_string() for sentence in drawn)
    assert words == sorted(" ".join(one.tokens) for one in [*TRAIN, *DEV])
    assert ours.steps == -(-len(words) // 4) > plain.steps
    note = "trained on train and dev together: the value on dev is of training data"
    assert note in ours.evaluate(model_of(ours), "test").notes
    assert KIND.outline(TaggingSettings(corpus="x", train_with_dev=True)).dev == "dev (trained on)"


def test_tags_of_tokens_are_measured_in_accuracy(trained):
    data = TaggedData(
        {
            split: [TaggedSentence(one.tokens, tuple(token[0] for token in one.tokens)) for one in part]
            for split, part in DATA.splits.items()
        },
        "tokens",
        (),
    )
    ours = problem(data, scheme="tokens", crf=False, **STRONG)
    evaluation = ours.evaluate(model_of(ours), "test")
    assert set(evaluation.metrics) == {"loss", "accuracy"}
    right = sum(item["tp"] for item in evaluation.items)
    assert evaluation.metrics["accuracy"] == pytest.approx(100 * right / sum(len(one.tokens) for one in TEST))
    assert [metric.name for metric in ours.metrics] == ["accuracy"]


def test_a_type_that_only_test_has_is_missed_and_named():
    odd = TaggedSentence(("Acme", "hired", "Ada"), ("B-company", "O", "B-person"))
    plain, tagging = problem(**STRONG), problem(with_split("test", [*TEST, odd]), **STRONG)
    model, other = model_of(tagging), model_of(plain)
    found, expected = tagging.evaluate(model, "test"), plain.evaluate(other, "test")
    assert found.items[:-1] == expected.items
    assert found.items[-1]["types"]["company"][2] == 1
    assert found.metrics["loss"] == pytest.approx(expected.metrics["loss"], rel=1e-6)
    assert found.notes[-1] == (
        "test has types that neither train nor dev has, so they cannot be found: company (1)"
    )


def test_a_type_that_only_dev_has_is_known():
    extra = TaggedSentence(("Acme", "grows"), ("B-company", "O"))
    tagging = problem(with_split("dev", [*DEV, extra]))
    evaluation = tagging.evaluate(model_of(tagging), "dev")
    assert math.isfinite(evaluation.metrics["loss"])
    assert evaluation.notes == () or "types" not in evaluation.notes[-1]


@pytest.mark.parametrize(
    ("splits", "words"),
    [((NONE, NONE, SOME), "train and dev hold no entity"), ((NONE, SOME, SOME), "train holds no entity")],
)
def test_nothing_to_learn_is_an_error_before_anything_is_trained(tmp_path, splits, words):
    name, data = corpus_file(tmp_path, *splits)
    settings = TaggingSettings(corpus=name)
    for use in (lambda: KIND.build(data, settings, CPU), lambda: KIND.check_data(data, settings)):
        with pytest.raises(DataError, match=words) as caught:
            use()
        assert "train.conll" in str(caught.value)


def test_tags_of_single_tokens_are_scored_as_tokens(tmp_path):
    words = {"the": "DET", "cat": "NOUN", "dog": "NOUN", "sat": "VERB", "ran": "VERB", ".": "PUNCT"}
    sentences = [
        [(word, words[word]) for word in text.split()]
        for text in ("the cat sat .", "the dog ran .", "cat ran", "the dog sat", "dog .")
    ]
    name, data = corpus_file(tmp_path, sentences * 4, sentences, [*sentences, [("hmm", "INTJ")]])
    settings = TaggingSettings(corpus=name, **{**TINY, **STRONG})
    tagging = KIND.build(data, settings, CPU)
    fitted = train(tmp_path / "run", tagging, epochs=6, optimizer="adam", learning_rate=0.05)
    dev, test = (tagging.evaluate(fitted.model, split) for split in ("dev", "test"))
    assert dev.metrics["f1"] == dev.metrics["precision"] == dev.metrics["recall"] > 80
    tokens = sum(map(len, sentences))
    assert sum(item["tp"] + item["fn"] for item in test.items) == tokens + 1
    assert test.metrics["f1"] < 100
    assert "INTJ (1)" in test.notes[-1]
    fresh = flair_sentences(tagging_module.read_corpus(data, settings).splits["dev"], "tokens")
    accuracy = fitted.model.evaluate(fresh, "ner").scores["accuracy"]
    assert dev.metrics["f1"] == pytest.approx(100 * accuracy, abs=1e-9)

"""Span scores against seqeval and against Flair's own evaluation."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import f1_score, precision_score, recall_score
from seqeval.scheme import IOB2
from tagging_samples import DEV, TEST, TRAIN, tagger

from tasks.data.conll import tags_of
from tasks.tagging.corpus import LABEL, PREDICTED, flair_sentences, labelled_spans
from tasks.tagging.evaluation import evaluate
from tasks.tagging.scores import SpanScore, judge_sentence, micro

LENGTH = 7


@st.composite
def span_sets(draw):
    """Spans of a sentence of LENGTH tokens that do not overlap."""
    spans, position = [], 0
    for kind in draw(st.lists(st.sampled_from("ABC"), max_size=4)):
        start = position + draw(st.integers(0, 2))
        end = start + draw(st.integers(1, 2))
        if end > LENGTH:
            break
        spans.append((start, end, kind))
        position = end
    return spans


@given(st.lists(st.tuples(span_sets(), span_sets()), min_size=1, max_size=6))
def test_counts_are_those_of_seqeval(pairs):
    score = micro(judge_sentence("test", index, *pair) for index, pair in enumerate(pairs))
    gold = [list(tags_of(LENGTH, spans)) for spans, _ in pairs]
    found = [list(tags_of(LENGTH, spans)) for _, spans in pairs]
    strict = {"mode": "strict", "scheme": IOB2, "zero_division": 0}
    assert score.f1 == pytest.approx(100 * f1_score(gold, found, **strict), abs=1e-9)
    assert score.precision == pytest.approx(100 * precision_score(gold, found, **strict), abs=1e-9)
    assert score.recall == pytest.approx(100 * recall_score(gold, found, **strict), abs=1e-9)


@pytest.mark.parametrize("crf", [True, False])
@pytest.mark.parametrize("tag_format", ["BIOES", "BIO"])
def test_three_ways_to_score_the_same_predictions_agree(crf, tag_format):
    # Trained until the first span is right: many tag sequences are still illegal.
    model = tagger("cell:gru", use_crf=crf, tag_format=tag_format, word_dropout=0.0, locked_dropout=0.0)
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    sentences = flair_sentences([*TRAIN, *DEV, *TEST])
    ours = SpanScore(0, 0, 0)
    for _ in range(100):
        if ours.tp:
            break
        optimizer.zero_grad()
        model.forward_loss(flair_sentences(TRAIN))[0].backward()
        optimizer.step()
        ours = micro(evaluate(model, sentences, "test", 5)[0])
    assert ours.tp > 0
    assert ours.fp > 0
    assert ours.fn > 0
    gold = [list(tags_of(len(s), labelled_spans(s, LABEL))) for s in sentences]
    found = [list(tags_of(len(s), labelled_spans(s, PREDICTED))) for s in sentences]
    assert ours.f1 / 100 == pytest.approx(f1_score(gold, found, mode="strict", scheme=IOB2), abs=5e-7)
    assert ours.f1 / 100 == pytest.approx(f1_score(gold, found), abs=5e-7)
    flairs = model.evaluate(flair_sentences([*TRAIN, *DEV, *TEST]), LABEL, mini_batch_size=5)
    assert ours.f1 / 100 == pytest.approx(flairs.main_score, abs=5e-7)
    assert ours.precision / 100 == pytest.approx(flairs.scores["micro avg", "precision"], abs=5e-7)


def test_an_item_tells_which_types_went_wrong():
    gold = [(0, 1, "person"), (2, 4, "place"), (5, 6, "place")]
    found = [(0, 1, "person"), (2, 3, "place"), (5, 6, "person")]
    assert judge_sentence("dev", 4, gold, found) == {
        "split": "dev",
        "index": 4,
        "tp": 1,
        "fp": 2,
        "fn": 2,
        "types": {"person": [1, 1, 0], "place": [0, 1, 2]},
    }


def test_items_come_in_the_order_of_the_sentences_and_hold_the_loss_of_flair():
    model = tagger("cell:gru")
    sentences = flair_sentences(TEST)
    items, loss = evaluate(model, sentences, "test", 4, loss=True)
    assert [item["index"] for item in items] == list(range(len(TEST)))
    for sentence, item in zip(sentences, items, strict=True):
        assert item["tp"] + item["fn"] == len(sentence.get_labels(LABEL))
        assert item["tp"] + item["fp"] == len(sentence.get_labels(PREDICTED))
    flairs = model.evaluate(flair_sentences(TEST), LABEL, mini_batch_size=len(TEST))
    assert loss == pytest.approx(flairs.loss, rel=1e-5)


def test_nothing_to_find_and_nothing_found_is_zero_not_an_error():
    score = SpanScore(0, 0, 0)
    assert (score.precision, score.recall, score.f1) == (0.0, 0.0, 0.0)
    assert SpanScore(0, 3, 0).f1 == 0.0
    assert SpanScore(2, 0, 0).f1 == 100.0

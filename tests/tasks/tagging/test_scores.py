"""Span scores against seqeval and against Flair's own evaluation."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import f1_score, precision_score, recall_score
from seqeval.scheme import IOB2, IOBES
from tagging_samples import DEV, TEST, TRAIN, predicted_tags, spans_of, tagger

from tasks.data.tags import write_iob2
from tasks.tagging.corpus import LABEL, flair_sentences
from tasks.tagging.evaluation import evaluate_batch
from tasks.tagging.scores import SpanScore, count_sentence, micro, micro_strict

LENGTH = 7


def found_in(model, sentences):
    """Return the spans found in sentences, from an evaluation in batches of five."""
    order = sorted(range(len(sentences)), key=lambda place: -len(sentences[place]))
    found = {}
    training = model.training
    model.eval()
    for start in range(0, len(order), 5):
        places = order[start : start + 5]
        spans, _ = evaluate_batch(model, [sentences[place] for place in places], [])
        found |= dict(zip(places, spans, strict=True))
    model.train(training)
    return [found[place] for place in range(len(sentences))]


def written(length, spans, *, bioes):
    tags = list(write_iob2(length, spans))
    if bioes:
        for start, end, kind in spans:
            tags[end - 1] = f"{'S' if end - start == 1 else 'E'}-{kind}"
    return tags


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
    score = micro(count_sentence("test", index, *pair, pair[1]) for index, pair in enumerate(pairs))
    gold = [list(write_iob2(LENGTH, spans)) for spans, _ in pairs]
    found = [list(write_iob2(LENGTH, spans)) for _, spans in pairs]
    strict = {"mode": "strict", "scheme": IOB2, "zero_division": 0}
    is_gold, is_found = (any(map(len, spans)) for spans in zip(*pairs, strict=True))
    for value, reference, defined in (
        (score.f1, f1_score, is_gold or is_found),
        (score.precision, precision_score, is_found),
        (score.recall, recall_score, is_gold),
    ):
        if defined:
            assert value == pytest.approx(100 * reference(gold, found, **strict), abs=1e-9)
        else:
            assert math.isnan(value)


@pytest.mark.parametrize("crf", [True, False])
@pytest.mark.parametrize("tag_format", ["BIOES", "BIO"])
def test_predictions_are_scored_as_conlleval_and_seqeval_score_them(crf, tag_format):
    # Trained until the first span is right: many tag sequences are still illegal.
    model = tagger("cell:gru", use_crf=crf, tag_format=tag_format, word_dropout=0.0, locked_dropout=0.0)
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    sentences = flair_sentences([*TRAIN, *DEV, *TEST])
    right = [spans_of(sentence, LABEL) for sentence in sentences]
    ours = strict = SpanScore(0, 0, 0)
    for _ in range(100):
        if ours.tp:
            break
        optimizer.zero_grad()
        model.forward_loss(flair_sentences(TRAIN))[0].backward()
        optimizer.step()
        items = [
            count_sentence("test", 0, gold, found.spans, found.strict)
            for gold, found in zip(right, found_in(model, sentences), strict=True)
        ]
        ours, strict = micro(items), micro_strict(items)
    assert ours.tp > 0
    assert ours.fp > 0
    assert ours.fn > 0
    found = predicted_tags(model, sentences)
    bioes = tag_format == "BIOES"
    gold = [written(len(s), spans, bioes=bioes) for s, spans in zip(sentences, right, strict=True)]
    assert ours.f1 / 100 == pytest.approx(f1_score(gold, found), abs=1e-9)
    assert ours.precision / 100 == pytest.approx(precision_score(gold, found), abs=1e-9)
    wanted = f1_score(gold, found, mode="strict", scheme=IOBES if bioes else IOB2)
    assert strict.f1 / 100 == pytest.approx(wanted, abs=1e-9)
    assert strict.f1 != ours.f1


def test_an_item_tells_which_types_went_wrong():
    gold = [(0, 1, "person"), (2, 4, "place"), (5, 6, "place")]
    found = [(0, 1, "person"), (2, 3, "place"), (5, 6, "person")]
    assert count_sentence("dev", 4, gold, found, found[:1]) == {
        "split": "dev",
        "index": 4,
        "tp": 1,
        "fp": 2,
        "fn": 2,
        "strict": [1, 0, 2],
        "types": {"person": [1, 1, 0], "place": [0, 1, 2]},
    }


def test_nothing_to_find_and_nothing_found_is_undefined():
    score = SpanScore(0, 0, 0)
    assert all(map(math.isnan, (score.precision, score.recall, score.f1)))
    assert (SpanScore(0, 3, 0).f1, SpanScore(0, 3, 0).precision) == (0.0, 0.0)
    assert (SpanScore(0, 0, 3).f1, SpanScore(0, 0, 3).recall) == (0.0, 0.0)
    assert SpanScore(2, 0, 0).f1 == 100.0

"""Dynamic evaluation: its rule, that no word is learned from before it is predicted, and that nothing stays."""

from __future__ import annotations

import json
import math

import pytest
import torch
import torch.nn.functional as F
from language_models import (
    SMALL,
    equal,
    model_of,
    problem_on,
    random_words,
    small_model,
    train_on,
    weights,
    write_text,
)

from cellzoo.errors import RunError
from tasks.language_modeling.dynamic import DynamicRule, dynamic_losses
from tasks.language_modeling.evaluate import word_losses
from tasks.runs.run import run_suite

END = 1
TRAIN, TEST = random_words(240, 11), random_words(23, 11, seed=4)
RULE = DynamicRule(rate=0.05, decay=0.3, epsilon=1e-2, segment=5, streams=4)


def model(**options):
    return small_model("lstm", dtype=torch.float64, embedding_range=0.5, **options)


def test_without_steps_it_is_static_evaluation():
    ours = model(dropout=0.5, dropout_i=0.5)
    still = DynamicRule(rate=1e-300, decay=0.0)
    found = dynamic_losses(ours, TEST, END, TRAIN, still)
    assert found.tolist() == pytest.approx(word_losses(ours, TEST, END).tolist(), abs=1e-12)


def by_hand(ours, words, rule):
    """The paper's equations 4 to 6, one segment after the other, by backward()."""
    named = list(ours.parameters())
    trained = [weight.detach().clone() for weight in named]
    columns = TRAIN.view(rule.streams, -1).t()  # (T, B)
    inputs = torch.cat([torch.tensor([END]), TRAIN[:-1]]).view(rule.streams, -1).t()
    squares = [torch.zeros_like(weight) for weight in named]
    hidden, count = None, 0
    for start in range(0, len(columns), rule.segment):
        ours.zero_grad()
        output = ours(inputs[start : start + rule.segment], hidden)
        hidden = tuple(state.detach() for state in output.hidden)
        F.cross_entropy(output.logits.flatten(0, 1), columns[start : start + rule.segment].flatten()).backward()
        squares = [square + weight.grad**2 for square, weight in zip(squares, named, strict=True)]
        count += 1
    roots = [(square / count).sqrt() * rule.streams**0.5 for square in squares]
    average = sum(root.mean() for root in roots) / len(roots)
    before, hidden, losses = END, None, []
    for start in range(0, len(words), rule.segment):
        part = words[start : start + rule.segment]
        ours.zero_grad()
        output = ours(torch.cat([torch.tensor([before]), part[:-1]])[:, None], hidden)
        hidden = tuple(state.detach() for state in output.hidden)
        before = int(part[-1])
        each = F.cross_entropy(output.logits.flatten(0, 1), part, reduction="none")
        losses += each.tolist()
        each.mean().backward()
        with torch.no_grad():
            for weight, root, first in zip(named, roots, trained, strict=True):
                pull = torch.minimum(rule.decay * root / average, torch.ones_like(root))
                weight -= rule.rate * weight.grad / (root + rule.epsilon) + pull * (weight - first)
    return losses


def test_it_follows_the_equations_of_the_paper():
    found = dynamic_losses(model(), TEST, END, TRAIN, RULE)
    assert found.shape == TEST.shape
    assert found.tolist() == pytest.approx(by_hand(model(), TEST, RULE), rel=1e-9)
    static = word_losses(model(), TEST, END)
    assert found[:5].tolist() == pytest.approx(static[:5].tolist(), abs=1e-12)  # from what could it learn?
    assert not torch.allclose(found[5:], static[5:])


def test_the_weights_come_back_even_when_it_is_interrupted():
    ours = model()
    before = weights(ours)
    dynamic_losses(ours, TEST, END, TRAIN, RULE)
    assert equal(before, weights(ours))
    assert ours.training

    def stop(fraction):
        if fraction > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dynamic_losses(ours, TEST, END, TRAIN, RULE, report=stop)
    assert equal(before, weights(ours))


def test_a_text_that_repeats_itself_is_predicted_better():
    words = torch.tensor([2, 5, 3, 9, 4]).repeat(40)
    static = word_losses(model(), words, END).mean()
    assert dynamic_losses(model(), words, END, TRAIN, RULE).mean() < 0.9 * static


def test_an_evaluation_that_diverges_is_one_message(tmp_path):
    problem = problem_on(write_text(tmp_path / "words.txt"), dynamic=True, dynamic_rate=1e30)
    with pytest.raises(RunError, match=r"dev: dynamic evaluation diverged.*try a dynamic_rate below 1e\+30"):
        problem.evaluate_once(model_of(problem), "dev")


def test_a_record_has_both_perplexities(tmp_path):
    write_text(tmp_path / "words.txt")
    settings = {**SMALL, "corpus": "text:words.txt", "dynamic": True, "epochs": 1}
    place = {"out": tmp_path / "out", "data": tmp_path, "executor": "serial", "device": "cpu"}
    report = run_suite("text-lm", ["gru"], settings=settings, **place)
    report.raise_for_failures()
    (record,) = report.records
    text = (tmp_path / "out" / "records" / record.items.file).read_text()
    items = [item for item in map(json.loads, text.splitlines()) if item["split"] == "test"]
    mean = math.fsum(item["dynamic_nll"] for item in items) / sum(item["tokens"] for item in items)
    assert record.metrics["dynamic_perplexity"].value == pytest.approx(math.exp(mean))
    assert any(note.startswith("test: perplexity") for note in record.notes)


@pytest.mark.parametrize("cell", ["lstm", "darts-v2"])
def test_neither_pieces_nor_segments_change_the_evaluation_of_a_trained_model(cell, tmp_path):
    problem = problem_on(write_text(tmp_path / "words.txt", 400))
    trained = train_on(problem, tmp_path / "run", cell, optimizer="adam", learning_rate=0.02).model
    words, end = problem.text.words["test"], problem.text.end
    exact = math.exp(word_losses(trained, words, end, streams=1, segment=7).mean().item())
    for streams, segment in ((10, 64), (10, 1), (3, 1000), (32, 64)):
        losses = word_losses(trained, words, end, streams=streams, context=128, segment=segment)
        assert losses.numel() == words.numel()
        assert math.exp(losses.mean().item()) == pytest.approx(exact, rel=1e-6)
    assert model_of(problem, cell).training

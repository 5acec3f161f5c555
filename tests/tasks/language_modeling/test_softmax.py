"""Softmax in chunks and adaptive softmax, against the full one and torch's own functions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from language_models import model_of, problem_on, random_words, small_model, train_on, write_text
from torch import nn

from cellzoo.errors import CellzooError, DataError
from tasks.language_modeling.softmax import default_cutoffs
from tasks.language_modeling.streams import PADDING

TOKENS = random_words(24, 11).view(12, 2)  # (T, B)
TARGETS = random_words(24, 11, seed=1).view(12, 2)
TARGETS[3, 1] = PADDING


@pytest.mark.parametrize("chunk", [1, 5, 24, 1000])
@pytest.mark.parametrize("tied", [True, False])
def test_chunks_change_neither_losses_nor_gradients(chunk, tied):
    found = []
    for size in (0, chunk):
        model = small_model("gru", dtype=torch.float64, tied=tied, chunk=size)
        losses = model.losses(model.encode(TOKENS).dropped, TARGETS)
        losses.sum().backward()
        found.append([losses, *(weight.grad for weight in model.parameters())])
    assert found[0][0][3, 1] == 0
    for full, chunked in zip(*found, strict=True):
        torch.testing.assert_close(chunked, full, rtol=1e-12, atol=1e-12)


def test_losses_are_those_of_cross_entropy():
    model = small_model("gru", dtype=torch.float64)
    expected = F.cross_entropy(model(TOKENS).logits.permute(0, 2, 1), TARGETS, reduction="none")
    torch.testing.assert_close(model.losses(model.encode(TOKENS).dropped, TARGETS), expected)


def adaptive(**options):
    return small_model("gru", size=16, dtype=torch.float64, tied=False, cutoffs=(3, 7), **options)


def test_adaptive_softmax_is_a_distribution_and_torchs():
    model = adaptive()
    output = model(TOKENS)
    torch.testing.assert_close(output.logits.exp().sum(2), torch.ones(12, 2, dtype=torch.float64))
    losses = model.losses(output.dropped, TARGETS)
    expected = -output.logits.gather(2, TARGETS.clamp(min=0).unsqueeze(2)).squeeze(2)
    expected[3, 1] = 0
    torch.testing.assert_close(losses, expected)
    theirs = nn.AdaptiveLogSoftmaxWithLoss(16, 11, [3, 7], div_value=4.0, dtype=torch.float64)
    theirs.load_state_dict(model.adaptive.layer.state_dict())
    known = TARGETS.flatten() != PADDING
    found = theirs(output.dropped.flatten(0, 1)[known], TARGETS.flatten()[known])
    assert losses.sum().item() / known.sum().item() == pytest.approx(found.loss.item(), rel=1e-12)


def test_the_generator_alone_draws_its_weights():
    states = []
    for number in range(2):
        torch.manual_seed(number)
        states.append(adaptive(seed=3).state_dict())
    assert all(torch.equal(states[0][name], tensor) for name, tensor in states[1].items())


def test_it_is_trained_and_evaluated(tmp_path):
    path = write_text(tmp_path / "words.txt")
    options = {"optimizer": "adam", "learning_rate": 0.02, "clip": 1.0}
    problem = problem_on(path, hidden_size=16, tied=False, softmax="adaptive", cutoffs=[4, 9])
    fitted = train_on(problem, tmp_path / "adaptive", **options)
    first = problem.evaluate(model_of(problem), "test").metrics["perplexity"]
    assert problem.evaluate(fitted.model, "test").metrics["perplexity"] < 0.6 * first
    full, chunked = (
        train_on(problem_on(path, softmax_chunk=size), tmp_path / str(size), **options).model
        for size in (0, 13)
    )
    for name, weight in full.named_parameters():
        torch.testing.assert_close(chunked.get_parameter(name), weight, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("words", [3, 4, 10, 10_000, 267_735])
def test_default_cutoffs_fit_every_vocabulary(words):
    nn.AdaptiveLogSoftmaxWithLoss(16, words, list(default_cutoffs(words)), div_value=4.0)


ADAPTIVE = {"softmax": "adaptive", "tied": False, "hidden_size": 16}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"softmax": "adaptive"}, "set tied = false"),
        ({**ADAPTIVE, "hidden_size": 8}, "needs a width of at least 16, not 8"),
        (
            {**ADAPTIVE, "softmax_chunk": 5},
            "an adaptive one needs no chunks",
        ),
        ({"cutoffs": [5]}, "cutoffs need softmax = 'adaptive'"),
        (
            {**ADAPTIVE, "cutoffs": [5, 5]},
            r"cutoffs = \[5, 5\] must be in ascending order",
        ),
    ],
)
def test_what_does_not_fit_together_is_said(settings, message, tmp_path):
    with pytest.raises(CellzooError, match=message):
        problem_on(write_text(tmp_path / "words.txt"), **settings)


def test_a_cutoff_beyond_the_vocabulary_is_said(tmp_path):
    path = write_text(tmp_path / "words.txt")
    with pytest.raises(DataError, match=r"cutoffs = \[5, 14\] must be below the size of the vocabulary, 14"):
        problem_on(path, softmax="adaptive", tied=False, hidden_size=16, cutoffs=[5, 14])

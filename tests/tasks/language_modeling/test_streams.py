from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from language_models import random_words, small_model

from cellzoo.errors import DataError
from tasks.language_modeling.evaluate import perplexity, word_losses
from tasks.language_modeling.streams import (
    PADDING,
    evaluation_streams,
    mean_steps,
    segments,
    training_streams,
)

CONTEXT = 1


def test_training_streams_by_hand() -> None:
    streams = training_streams(torch.arange(10, 21), CONTEXT, 3)
    assert streams.targets.tolist() == [[10, 13, 16], [11, 14, 17], [12, 15, 18]]
    assert streams.inputs.tolist() == [[1, 12, 15], [10, 13, 16], [11, 14, 17]]


def test_evaluation_streams_by_hand() -> None:
    streams = evaluation_streams(torch.arange(10, 17), CONTEXT, 3)
    assert streams.targets.tolist() == [[10, 13, 16], [11, 14, PADDING], [12, 15, PADDING]]
    assert streams.inputs.tolist() == [[1, 12, 15], [10, 13, 1], [11, 14, 1]]


@settings(deadline=None)
@given(count=st.integers(1, 60), streams=st.integers(1, 12))
def test_every_word_is_predicted_once_from_the_word_before_it(count: int, streams: int) -> None:
    words = torch.arange(100, 100 + count)
    cut = evaluation_streams(words, 99, streams)
    targets, inputs = cut.targets.t().flatten(), cut.inputs.t().flatten()
    real = targets != PADDING
    assert torch.equal(targets[real], words)
    assert torch.equal(inputs[real], words - 1)


def test_a_text_without_enough_words_is_refused() -> None:
    with pytest.raises(DataError, match="has 3 words, too few for 4 parallel streams"):
        training_streams(torch.arange(3), CONTEXT, 4)
    with pytest.raises(DataError, match="without words"):
        evaluation_streams(torch.arange(0), CONTEXT, 4)


def cut_by(jitter: str, length: int, bptt: int, seed: int = 0) -> list[tuple[int, int]]:
    return list(segments(length, bptt, jitter, torch.Generator().manual_seed(seed)))


@settings(deadline=None)
@given(
    length=st.integers(0, 400),
    bptt=st.integers(1, 60),
    jitter=st.sampled_from(["none", "gaussian", "halved"]),
    seed=st.integers(0, 99),
)
def test_segments_cover_every_step_once(length: int, bptt: int, jitter: str, seed: int) -> None:
    cut = cut_by(jitter, length, bptt, seed)
    assert [step for start, stop in cut for step in range(start, stop)] == list(range(length))
    sizes = [stop - start for start, stop in cut[:-1]]
    if jitter == "gaussian":
        assert all(5 <= size <= bptt + 20 for size in sizes)
    else:
        allowed = {bptt} if jitter == "none" else {bptt, max(1, bptt // 2)}
        assert set(sizes) <= allowed


def test_jittered_segments_have_the_distribution_of_darts() -> None:
    cut = cut_by("gaussian", 1_000_000, 100)
    sizes = torch.tensor([float(stop - start) for start, stop in cut[:-1]])
    short = sizes < 75
    count = len(sizes)
    assert abs(short.float().mean().item() - 0.05) < 4 * (0.05 * 0.95 / count) ** 0.5
    assert abs(sizes[~short].mean().item() - 99.5) < 0.4  # truncation takes half a step off the mean
    assert abs(sizes[~short].std().item() - 5.0) < 0.3
    assert abs(sizes[short].mean().item() - 49.5) < 1.5
    assert abs(count - 1_000_000 / mean_steps(100, "gaussian")) < 0.01 * count


def test_one_segment_in_twenty_is_halved_as_in_the_search_of_darts() -> None:
    sizes = [stop - start for start, stop in cut_by("halved", 700_000, 35)[:-1]]
    share = sizes.count(17) / len(sizes)
    assert set(sizes) == {17, 35}
    assert abs(share - 0.05) < 4 * (0.05 * 0.95 / len(sizes)) ** 0.5
    assert abs(len(sizes) - 700_000 / mean_steps(35, "halved")) < 0.01 * len(sizes)


def constant_model(distribution: torch.Tensor) -> torch.nn.Module:
    """A model that gives every word the same distribution whatever came before."""
    model = small_model(words=len(distribution), dtype=torch.float64)
    with torch.no_grad():
        model.embedding.zero_()
        model.decoder_bias.copy_(distribution.log())
    return model


def loss_of(losses: torch.Tensor) -> float:
    return losses.mean().item()


def test_a_uniform_model_has_the_size_of_the_vocabulary_as_perplexity() -> None:
    model = constant_model(torch.full((37,), 1 / 37, dtype=torch.float64))
    losses = word_losses(model, random_words(101, 37), CONTEXT, streams=4)
    assert perplexity(loss_of(losses)) == pytest.approx(37, rel=1e-12)


def test_a_unigram_model_has_the_cross_entropy_of_its_distribution() -> None:
    distribution = torch.softmax(torch.linspace(-2, 2, 11, dtype=torch.float64), dim=0)
    words = random_words(203, 11)
    losses = word_losses(constant_model(distribution), words, CONTEXT, streams=10)
    expected = [-math.log(distribution[word]) for word in words.tolist()]
    assert losses.tolist() == pytest.approx(expected, rel=1e-12)
    assert perplexity(loss_of(losses)) == pytest.approx(math.exp(math.fsum(expected) / 203), rel=1e-12)


def word_by_word(model: torch.nn.Module, words: torch.Tensor) -> list[float]:
    """The definition: every word after all words before it."""
    before, hidden, losses = CONTEXT, None, []
    with torch.no_grad():
        for word in words.tolist():
            output = model(torch.tensor([[before]]), hidden)
            hidden = output.hidden
            losses.append(-output.logits[0, 0].log_softmax(0)[word].item())
            before = word
    return losses


@pytest.mark.parametrize("cell", ["lstm", "darts-v2"])
def test_one_stream_equals_feeding_word_by_word(cell: str) -> None:
    model = small_model(cell, dtype=torch.float64, dropout=0.5, dropout_h=0.5)
    words = random_words(150, 11)
    losses = word_losses(model, words, CONTEXT)
    assert model.training  # as it was
    assert losses.tolist() == pytest.approx(word_by_word(model.eval(), words), abs=1e-12)


@settings(deadline=None, max_examples=15)
@given(count=st.integers(1, 90), streams=st.integers(1, 100), segment=st.integers(1, 70))
def test_streams_and_segments_change_nothing_where_the_context_reaches_the_start(
    count: int, streams: int, segment: int
) -> None:
    model = small_model("lstm", dtype=torch.float64, embedding_range=1.0)
    words = random_words(count, 11)
    losses = word_losses(model, words, CONTEXT, streams=streams, context=count, segment=segment)
    assert losses.tolist() == pytest.approx(word_by_word(model.eval(), words), abs=1e-12)


def test_a_limited_context_is_that_many_words_before_each_piece() -> None:
    model = small_model("lstm", dtype=torch.float64, embedding_range=1.0)
    words = random_words(60, 11)
    losses = word_losses(model, words, CONTEXT, streams=3, context=5, segment=2)
    alone = word_losses(model, words[15:40], int(words[14]), segment=7)
    assert losses[20:40].tolist() == pytest.approx(alone[5:].tolist(), abs=1e-12)
    without = word_losses(model, words, CONTEXT, streams=3)
    assert (losses - without).abs().max() > 1e-6


def test_the_perplexity_of_a_diverged_model_is_infinite_or_undefined() -> None:
    assert perplexity(1000.0) == perplexity(math.inf) == math.inf
    assert math.isnan(perplexity(math.nan))

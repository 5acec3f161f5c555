"""Features of whole batches are equal to those of Flair, which computes them token by token."""

from __future__ import annotations

import flair
import pytest
import torch
from flair.embeddings import OneHotEmbeddings, StackedEmbeddings, TokenEmbeddings, WordEmbeddings
from flair.models import SequenceTagger
from hypothesis import given, settings
from hypothesis import strategies as st
from tagging_samples import TRAIN, tagger
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from tasks.embeddings.batch import token_features
from tasks.embeddings.padding import pad, pad_packed
from tasks.tagging.corpus import flair_sentences
from tasks.tagging.embeddings import characters, trained_words
from tasks.tagging.tagger import CellTagger


def samples():
    sentences = flair_sentences(TRAIN[:6])
    for sentence in sentences:
        for token in sentence.tokens:
            token.add_label("case", "upper" if token.text[0].isupper() else "lower")
    return sentences


def words(*, field=None, stable=False):
    known = {"saw": 0, "Paris": 1, "near": 2, "upper": 3, "## boxes": 4}
    made = WordEmbeddings(None, vocab=known, embedding_length=4, name="words", field=field, stable=stable)
    with torch.no_grad():
        made.embedding.weight.copy_(torch.randn(6, 4))
    return made


def one_hot(*, field="text", stable=False):
    dictionary = trained_words(TRAIN, 5, 2).vocab_dictionary
    dictionary.add_item("upper")
    return OneHotEmbeddings(dictionary, field=field, embedding_length=5, stable=stable)


class Lengths(TokenEmbeddings):
    """Embeddings that only Flair can compute."""

    embeddings_name = "test-lengths"

    def __init__(self) -> None:
        super().__init__()
        self.name = "lengths"
        self.factor = torch.nn.Parameter(torch.tensor(2.0))
        self.calls = 0

    @property
    def embedding_length(self) -> int:
        return 2

    def _add_embeddings_internal(self, sentences):
        self.calls += 1
        for sentence in sentences:
            for token in sentence.tokens:
                token.set_embedding(
                    self.name, self.factor * torch.tensor([float(len(token.text)), float(len(sentence))])
                )


def flairs(embeddings, sentences):
    """Return the vectors of all tokens as Flair concatenates them."""
    for sentence in sentences:
        sentence.clear_embeddings()
    embeddings.embed(sentences)
    names = embeddings.get_names()
    found = [torch.cat(token.get_each_embedding(names)) for sentence in sentences for token in sentence.tokens]
    for sentence in sentences:
        sentence.clear_embeddings()
    return torch.stack(found)


STACKS = {
    "words": lambda: words(),
    "words of labels, normalised": lambda: words(field="case", stable=True),
    "one-hot": lambda: one_hot(),
    "one-hot of labels, normalised": lambda: one_hot(field="case", stable=True),
    "characters": lambda: characters(TRAIN, 3, 2),
    "others": Lengths,
    "a stack": lambda: StackedEmbeddings([one_hot(), Lengths(), words(), characters(TRAIN, 3, 2)]),
    "a stack in a stack": lambda: StackedEmbeddings([words(), StackedEmbeddings([Lengths(), one_hot()])]),
    "more than ten": lambda: StackedEmbeddings([words() for _ in range(8)] + [one_hot() for _ in range(4)]),
}


@pytest.mark.parametrize("build", STACKS.values(), ids=STACKS)
def test_features_and_gradients_are_flairs(build):
    flair.set_seed(1)
    embeddings, sentences = build(), samples()
    weights = [weight for weight in embeddings.parameters() if weight.requires_grad]
    direction = torch.randn(sum(len(sentence) for sentence in sentences), embeddings.embedding_length)

    def result(features):
        gradients = torch.autograd.grad((features * direction).sum(), weights) if weights else ()
        return features.detach(), gradients

    expected, expected_gradients = result(flairs(embeddings, sentences))
    found, gradients = result(token_features(embeddings, sentences))
    assert torch.equal(found, expected)
    for one, other in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_lookups_leave_nothing_in_the_sentences():
    sentences = samples()
    token_features(StackedEmbeddings([words(), one_hot(), characters(TRAIN, 3, 2)]), sentences)
    assert not any(token._embeddings for sentence in sentences for token in sentence.tokens)


def test_what_flair_has_stored_is_not_computed_again():
    embeddings, sentences = Lengths(), samples()
    first = token_features(embeddings, sentences)
    assert torch.equal(token_features(embeddings, sentences), first)
    assert embeddings.calls == 1


def test_a_class_that_looks_words_up_in_its_own_way_is_asked():
    class Loud(WordEmbeddings):
        def _add_embeddings_internal(self, sentences):
            for sentence in sentences:
                for token in sentence.tokens:
                    token.set_embedding(self.name, torch.full((4,), 7.0))

    loud = Loud(None, vocab={"saw": 0}, embedding_length=4, name="loud")
    assert token_features(loud, samples()).unique().tolist() == [7.0]


lengths_of_batches = st.lists(st.integers(1, 9), min_size=1, max_size=6)


@settings(deadline=None, max_examples=50)
@given(lengths_of_batches)
def test_padding_is_torchs(lengths):
    rows = torch.randn(sum(lengths), 3, requires_grad=True)
    direction = torch.randn(len(lengths), max(lengths), 3)
    expected = pad_sequence(rows.split(lengths), batch_first=True)
    found = pad(rows, torch.tensor(lengths))
    assert torch.equal(found, expected)
    gradients = [torch.autograd.grad((way * direction).sum(), rows)[0] for way in (found, expected)]
    assert torch.equal(*gradients)


@settings(deadline=None, max_examples=50)
@given(lengths_of_batches)
def test_padding_what_is_packed_is_torchs(lengths):
    lengths = torch.tensor(sorted(lengths, reverse=True))
    padded = torch.randn(len(lengths), int(lengths[0]), 3)
    packed = pack_padded_sequence(padded, lengths, batch_first=True)
    data = packed.data.clone().requires_grad_()
    packed = packed._replace(data=data)
    expected, _ = pad_packed_sequence(packed, batch_first=True)
    found = pad_packed(packed, lengths)
    assert torch.equal(found, expected)
    gradients = [torch.autograd.grad((way * padded).sum(), data)[0] for way in (found, expected)]
    assert torch.equal(*gradients)


# Flair's dropout after the layer draws its mask in another order, so it is only compared switched off.
@pytest.mark.parametrize(
    ("changes", "training"),
    [
        ({"word_dropout": 0.2, "locked_dropout": 0.4}, True),
        ({"use_rnn": False, "dropout": 0.3}, True),
        ({"use_crf": False}, True),
        ({"dropout": 0.3}, False),
        ({"word_dropout": 0.0, "locked_dropout": 0.0, "reproject_embeddings": False}, True),
    ],
)
def test_a_tagger_scores_as_flairs_does(changes, training):
    model: CellTagger = tagger("GRU", **changes)
    model.train(training)
    features, lengths = model._prepare_tensors(sorted(samples(), key=len, reverse=True))
    results = []
    for way in (CellTagger.forward, SequenceTagger.forward):
        flair.set_seed(3)
        scores = way(model, features, lengths)
        results.append(scores[0] if model.use_crf else scores)
    assert torch.equal(*results)


def test_the_tensors_of_a_batch_are_flairs():
    model = tagger("GRU")
    sentences = sorted(samples(), key=len, reverse=True)
    found, lengths = model._prepare_tensors(sentences)
    expected, expected_lengths = SequenceTagger._prepare_tensors(model, sentences)
    assert torch.equal(found, expected)
    assert torch.equal(lengths, expected_lengths)
    one, _ = model._prepare_tensors(sentences[-1])
    assert torch.equal(one, expected[-1:, : len(sentences[-1])])

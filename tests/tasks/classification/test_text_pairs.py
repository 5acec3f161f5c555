"""Pairs of texts, embedded together, against Flair's own class, which goes pair by pair."""

from __future__ import annotations

import flair
import pytest
import torch
from flair.data import Corpus, Dictionary, Sentence, TextPair
from flair.datasets import FlairDatapointDataset
from flair.embeddings import DocumentPoolEmbeddings, DocumentRNNEmbeddings, TransformerDocumentEmbeddings
from flair.models import TextPairClassifier
from flair.trainers import ModelTrainer
from tagging_samples import TRAIN
from tiny_bert import write_bert

from tasks.classification.text_pairs import BatchPairClassifier
from tasks.tagging.embeddings import trained_words


def pairs(count=10):
    """Sentences, each beside one of the two after it; the label says if the first one has two parts."""
    texts = [Sentence(list(sentence.tokens)) for sentence in TRAIN]
    made = []
    for number in range(count):
        pair = TextPair(texts[number], texts[number + 1 + number % 2])
        pair.add_label("parts", "2" if "and" in TRAIN[number].tokens else "1")
        made.append(pair)
    return made


def recurrent(**settings):
    return DocumentRNNEmbeddings(
        [trained_words(TRAIN, 4, 1)], hidden_size=5, **{"dropout": 0.0, "bidirectional": True, **settings}
    )


def build(kind, embeddings, **settings):
    labels = Dictionary(add_unk=False)
    for label in ("1", "2"):
        labels.add_item(label)
    return kind(embeddings, label_type="parts", label_dictionary=labels, **settings)


def both(embeddings, **settings):
    """The two classes with the same weights."""
    flair.set_seed(2)
    flairs = build(TextPairClassifier, embeddings, **settings)
    ours = build(BatchPairClassifier, embeddings, **settings)
    ours.decoder.load_state_dict(flairs.decoder.state_dict())
    return flairs, ours


EMBEDDINGS = {
    "recurrent": lambda folder: recurrent(),
    "one direction": lambda folder: recurrent(bidirectional=False, rnn_type="LSTM"),
    "mean": lambda folder: DocumentPoolEmbeddings([trained_words(TRAIN, 4, 1)]),
    "transformer": lambda folder: TransformerDocumentEmbeddings(
        str(write_bert(folder / "bert")), fine_tune=True
    ),
}


@pytest.mark.parametrize("separately", [True, False])
@pytest.mark.parametrize("kind", EMBEDDINGS)
def test_loss_and_gradients_are_flairs(tmp_path, kind, separately):
    embeddings = EMBEDDINGS[kind](tmp_path)
    results = []
    for model in both(embeddings, embed_separately=separately):
        model.eval()
        model.zero_grad()
        loss, count = model.forward_loss(pairs())
        assert count == 10
        loss.backward()
        results.append(
            [loss.detach(), *(weight.grad for weight in model.parameters() if weight.grad is not None)]
        )
    assert len(results[0]) == len(results[1]) > 2
    for found, expected in zip(results[1], results[0], strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert results[1][0].item() == pytest.approx(results[0][0].item(), rel=1e-6)


@pytest.mark.parametrize("separately", [True, False])
def test_a_batch_is_embedded_at_once(separately):
    embeddings = recurrent()
    model = both(embeddings, embed_separately=separately)[1]
    asked = []
    add = embeddings._add_embeddings_internal
    embeddings._add_embeddings_internal = lambda texts: asked.append(len(texts)) or add(texts)
    data = pairs()
    model.forward_loss(data)
    distinct = {id(text) for pair in data for text in (pair.first, pair.second)}
    assert asked == [len(distinct) if separately else len(data)]
    assert len(distinct) < 2 * len(data)


@pytest.mark.parametrize("mode", ["none", "cpu"])
def test_scores_are_fresh_whatever_is_stored(mode):
    model = both(recurrent(), embed_separately=True)[1].eval()
    data = pairs()
    before, _ = model.predict(data, label_name="found", return_loss=True, embedding_storage_mode=mode)
    with torch.no_grad():
        for weight in model.embeddings.parameters():
            weight.add_(torch.randn_like(weight))
    after, _ = model.predict(data, label_name="found", return_loss=True, embedding_storage_mode=mode)
    fresh, _ = model.predict(pairs(), label_name="found", return_loss=True)
    assert after.item() == pytest.approx(fresh.item(), rel=1e-6)
    assert after.item() != pytest.approx(before.item(), rel=1e-3)


def labels(model):
    data = pairs()
    model.predict(data, label_name="found", return_probabilities_for_all_classes=True)
    return [[(label.value, label.score) for label in pair.get_labels("found")] for pair in data]


@pytest.mark.parametrize("separately", [True, False])
def test_a_saved_model_loads_as_either_class(tmp_path, separately):
    saved = both(recurrent(), embed_separately=separately)[1].eval()
    saved.save(tmp_path / "pairs.pt")
    expected = labels(saved)
    for load, kind in (
        (BatchPairClassifier.load, BatchPairClassifier),
        (TextPairClassifier.load, TextPairClassifier),
        (flair.nn.Classifier.load, TextPairClassifier),
    ):
        loaded = load(tmp_path / "pairs.pt")
        assert type(loaded) is kind
        for found, right in zip(labels(loaded), expected, strict=True):
            assert [value for value, _ in found] == [value for value, _ in right]
            assert [score for _, score in found] == pytest.approx([score for _, score in right], rel=1e-5)


def test_flairs_trainer_trains_it(tmp_path):
    model = both(recurrent(), embed_separately=True)[1]
    data = FlairDatapointDataset(pairs(16))
    first = model.evaluate(data, "parts").loss
    ModelTrainer(model, Corpus(data, data, data)).train(
        tmp_path, max_epochs=15, learning_rate=0.3, mini_batch_size=4, save_final_model=False
    )
    assert model.evaluate(data, "parts").loss < 0.7 * first

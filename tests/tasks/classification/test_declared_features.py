"""Features of classifiers declared in a line."""

from __future__ import annotations

import pytest
import torch
from flair.data import Dictionary, Sentence
from flair.embeddings import FlairEmbeddings
from flair.models import LanguageModel

import cellzoo
from cellzoo.errors import CellzooError
from tasks.classification.problem import KIND
from tasks.classification.settings import ClassificationSettings
from tasks.data.locate import find

TOY = """
name = "toy"
title = "Toy"
format = "examples"
files = { train = "train.tsv", dev = "dev.tsv" }

[table]
first = "a"
second = "b"
label = "label"
labels = ["0", "1"]
metrics = ["accuracy"]
"""
SMALL = {"hidden_size": 3, "mlp_size": 4, "word_size": 5, "batch_size": 4, "dropout": 0.0}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "toy.toml").write_text(TOY)
    rows = [f"the cat sat{' here' * (n % 3)}\tit isn't a dog {n}\t{n % 2}" for n in range(20)]
    (tmp_path / "train.tsv").write_text("\n".join(["a\tb\tlabel", *rows]))
    (tmp_path / "dev.tsv").write_text("\n".join(["a\tb\tlabel", *rows[:7]]))
    (tmp_path / "v.txt").write_text("cat 1 2\ndog 3 4\n")
    dictionary = Dictionary(add_unk=True)
    for letter in "\n abcdefghijklmnopqrstuvwxyz":
        dictionary.add_item(letter)
    torch.manual_seed(0)
    LanguageModel(dictionary, True, hidden_size=6, nlayers=1, embedding_size=4).save(tmp_path / "lm.pt")
    return tmp_path


def build(folder, features, cache=None):
    name = str(folder / "toy.toml")
    settings = ClassificationSettings(**SMALL, corpus=name, features=features)
    data = {one: find(one, folder) for one in KIND.outline(settings).data}
    KIND.check(data, settings)
    made = KIND.build(data, settings, torch.device("cpu"), cache)
    rnn = cellzoo.rnn("gru", made.layer.input_size, made.layer.hidden_size, bidirectional=True)
    return made, made.model(rnn, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize(("first", "width"), [("words", 5), ("glove:v.txt", 2), ("", 0)])
def test_the_layer_reads_vectors_and_what_flair_gives(folder, cached, first, width):
    features = " + ".join(filter(None, [first, f"flair:{folder / 'lm.pt'}"]))
    made, model = build(folder, features, folder / "cache" if cached else None)
    assert made.layer.input_size == width + 6
    read = []
    model.rnn.register_forward_pre_hook(lambda _, arguments: read.append(arguments[0]))
    values = made.evaluate(model, "test").metrics
    assert 0 <= values["accuracy"] <= 100
    embeddings = FlairEmbeddings(str(folder / "lm.pt"))
    (packed,) = read
    padded, lengths = torch.nn.utils.rnn.pad_packed_sequence(packed, batch_first=True)
    sentence = Sentence(["the", "cat", "sat"])
    embeddings.embed(sentence)
    expected = torch.stack([token.embedding for token in sentence])
    same = [row for row, length in zip(padded, lengths, strict=True) if length == 3]
    assert same
    torch.testing.assert_close(same[0][:3, width:], expected, rtol=0, atol=1e-6)


def test_training_changes_no_frozen_feature(folder):
    made, model = build(folder, f"flair:{folder / 'lm.pt'} + words", folder / "cache")
    batch = next(made.train_batches(torch.Generator().manual_seed(0)))
    before = batch.content.texts.context.clone()
    made.loss(model, batch, None).penalised.backward()
    assert all(weight.grad is not None for weight in model.parameters() if weight.requires_grad)
    torch.testing.assert_close(made._encode(made.corpus.splits["train"][:2]).texts.context.size(2), 6)
    assert torch.equal(before, batch.content.texts.context)


@pytest.mark.parametrize(
    ("features", "words"), [("words + char", "above 0"), ("words + glove:v.txt", "one table of word vectors")]
)
def test_what_a_classifier_does_not_read(folder, features, words):
    with pytest.raises(CellzooError, match=words):
        build(folder, features)

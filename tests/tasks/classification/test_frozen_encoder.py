"""A classifier above the layer that a language model of the same cell has trained."""

from __future__ import annotations

import pytest
import torch
from small_examples import write_pairs

import cellzoo
from cellzoo.errors import CellzooError
from tasks.classification.problem import KIND
from tasks.classification.settings import ClassificationSettings
from tasks.data.locate import find
from tasks.runs.run import run_suite
from tasks.task import ParameterCounts
from tasks.training.fit import fit, recurrent_layer
from tasks.training.loop import Place
from tasks.training.settings import TrainingSettings
from tasks.vectors import LearnedVectors, read_vectors

COUNTS = ParameterCounts(1, 2, 3)
TEXT = "the cat sat\non the mat\nthe dog ran\n" * 20


def learned(cell, hidden_size=4, words=("<unk>", "ba", "be", "bi")):
    torch.manual_seed(0)
    rnn = cellzoo.rnn(cell, 3, hidden_size)
    vectors = torch.randn(len(words), 3)
    return rnn, LearnedVectors(tuple(words), vectors, COUNTS, 1, 1, 0.0, (), rnn.state_dict(), hidden_size)


@pytest.fixture
def plain(tmp_path):
    corpus = write_pairs(tmp_path, train=60, dev=20)
    settings = ClassificationSettings(corpus=corpus, hidden_size=6, word_size=5, mlp_size=7, batch_size=16)
    return KIND.build({corpus: find(corpus)}, settings, torch.device("cpu"))


def test_words_and_layer_stay_as_they_were_learned_and_the_rest_is_trained(plain, tmp_path):
    rnn, left = learned("gru")
    ours = plain.around(left)
    assert (ours.layer.input_size, ours.layer.hidden_size, ours.layer.bidirectional) == (3, 4, False)
    settings = TrainingSettings(optimizer="adam", learning_rate=1e-2, epochs=2)
    place = Place(tmp_path / "work", "a" * 64, "toy", lambda *_: None)
    place.folder.mkdir()
    fitted = fit(ours, cellzoo.load("gru"), settings, 0, place)
    for name, weight in rnn.state_dict().items():
        assert torch.equal(fitted.rnn.state_dict()[name], weight)
    assert torch.equal(fitted.model.vectors[2:], left.vectors)
    assert not fitted.model.vectors.requires_grad
    trained = {name for name, weight in fitted.model.named_parameters() if weight.requires_grad}
    assert trained
    assert all(name.startswith("head.") for name in trained)
    assert ours.evaluate(fitted.model, "test").metrics["loss"] > 0
    # A word that the encoder has never seen is its <unk>, the first of its words.
    item = ours.corpus.splits["test"][0]
    batch = ours._encode([item])
    known = {word: row for row, word in enumerate(left.words, start=2)}
    assert batch.texts.words[: len(item.first), 0].tolist() == [known.get(word, 2) for word in item.first]


def test_what_is_not_a_layer_of_the_cell_is_refused(plain):
    _, left = learned("gru")
    ours, drawn = plain.around(left), torch.Generator().manual_seed(0)
    with pytest.raises(CellzooError, match="is not a single layer of this cell"):
        ours.model(recurrent_layer(cellzoo.load("lstm"), ours.layer, drawn), drawn)
    with pytest.raises(CellzooError, match="only word vectors"):
        plain.around(LearnedVectors(left.words, left.vectors, COUNTS, 1, 1, 0.0, ()))


def test_it_runs_after_the_language_model_that_it_needs(tmp_path):
    corpus = write_pairs(tmp_path, train=40, dev=12)
    (tmp_path / "text.txt").write_text(TEXT)
    (tmp_path / "lm.toml").write_text(
        'name = "lm"\ntitle = "LM"\nrevision = 1\nproblem = "language-modeling"\nleaves = "vectors"\n'
        '[settings]\ncorpus = "text:text.txt"\nhidden_size = 4\nbatch_size = 2\nbptt = 5\nmin_count = 1\n'
        "[training]\nepochs = 1\n"
    )
    (tmp_path / "toy.toml").write_text(
        'name = "toy"\ntitle = "Toy"\nrevision = 1\nproblem = "classification"\nafter = "lm.toml"\n'
        f'[settings]\ncorpus = "{corpus}"\nmlp_size = 4\n[training]\nepochs = 1\noptimizer = "adam"\n'
    )
    report = run_suite(
        tmp_path / "toy.toml", ["gru"], out=tmp_path / "out", data=tmp_path, executor="serial", device="cpu"
    )
    report.raise_for_failures()
    by_task = {record.task.name: record for record in report.records if record.cell.name == "gru"}
    assert by_task["toy"].after == by_task["lm"].key
    (artifact,) = (tmp_path / "out" / "artifacts").glob("lm--gru*.vectors.safetensors")
    left = read_vectors(artifact)
    assert (left.hidden_size, left.vectors.shape[1]) == (4, 4)
    assert by_task["toy"].parameters.cell == sum(weight.numel() for weight in left.encoder.values())

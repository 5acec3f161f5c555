"""CellTagger: any cell in Flair's tagger, saved and loaded without losing anything."""

from __future__ import annotations

from itertools import product

import flair.nn
import pytest
import torch
from flair.data import Corpus
from flair.datasets import FlairDatapointDataset
from flair.embeddings import StackedEmbeddings, TokenEmbeddings
from flair.embeddings.base import register_embeddings
from flair.models import SequenceTagger
from flair.trainers import ModelTrainer
from tagging_samples import DEV, TEST, TRAIN, features, predictions, python, tagger

import cellzoo
from cellzoo.errors import CellzooError, UnknownNameError
from cellzoo.layer import CellRNN
from tasks.tagging.corpus import flair_sentences, type_dictionary
from tasks.tagging.embeddings import trained_words
from tasks.tagging.tagger import CellTagger

OWN = "z = sigmoid(linear(x, h))\nh' = blend(z, tanh(linear(x, h)), h)\n"


@pytest.mark.parametrize(
    ("cell", "layers", "bidirectional", "crf"),
    list(product(("lstm", "gru", "darts-v2"), (1, 2), (False, True), (False, True))),
)
def test_a_loaded_tagger_predicts_what_the_saved_one_did(tmp_path, cell, layers, bidirectional, crf):
    saved = tagger(f"cell:{cell}", rnn_layers=layers, bidirectional=bidirectional, use_crf=crf)
    expected = predictions(saved)
    assert all(len(scores) >= 5 and len(scores[0]) >= 9 for _, scores in expected)
    saved.save(tmp_path / "tagger.pt")
    for load in (CellTagger.load, flair.nn.Classifier.load):
        loaded = load(tmp_path / "tagger.pt")
        assert type(loaded) is CellTagger
        assert (loaded.rnn.num_layers, loaded.rnn.bidirectional) == (layers, bidirectional)
        assert predictions(loaded) == expected


@pytest.mark.parametrize("rnn_type", ["cell:gru", "GRU", "LSTM", "RNN"])
def test_every_setting_of_the_layer_comes_back(tmp_path, rnn_type):
    masks = {"dropout_x": 0.1, "dropout_h": 0.2} if rnn_type.startswith("cell:") else {}
    saved = tagger(rnn_type, rnn_layers=2, rnn_dropout=0.3, bidirectional=False, hidden_size=5, **masks)
    saved.save(tmp_path / "tagger.pt")
    loaded = CellTagger.load(tmp_path / "tagger.pt")
    assert loaded.rnn_type == rnn_type
    assert type(loaded.rnn) is type(saved.rnn)
    names = ("input_size", "hidden_size", "num_layers", "bidirectional", "dropout", *masks)
    assert [getattr(loaded.rnn, name) for name in names] == [getattr(saved.rnn, name) for name in names]
    assert loaded.rnn.dropout == 0.3
    assert predictions(loaded) == predictions(saved)


def test_a_cell_that_is_not_in_the_zoo_travels_with_the_tagger(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(f'name = "mine"\nnotation = "equations"\ngenotype = """\n{OWN}"""\n')
    from_file = tagger(f"cell:{file}")
    from_cell = tagger(cellzoo.parse(OWN, notation="equations", name="mine"))
    expected = predictions(from_file)
    assert predictions(from_cell) == expected
    from_file.save(tmp_path / "tagger.pt")
    file.unlink()
    loaded = flair.nn.Classifier.load(tmp_path / "tagger.pt")
    assert (loaded.rnn_type, loaded.cell.hash) == ("cell:mine", from_cell.cell.hash)
    assert predictions(loaded) == expected


def test_a_saved_tagger_keeps_its_cell_when_the_zoo_changes(tmp_path, monkeypatch):
    saved = tagger("cell:darts-v2")
    saved.save(tmp_path / "tagger.pt")
    monkeypatch.setattr("tasks.tagging.tagger.load", lambda name: cellzoo.load("enas"))
    assert tagger("cell:darts-v2").cell.hash == cellzoo.load("enas").hash
    loaded = CellTagger.load(tmp_path / "tagger.pt")
    assert loaded.cell.hash == cellzoo.load("darts-v2").hash
    assert predictions(loaded) == predictions(saved)


def test_a_tagger_without_a_recurrent_layer_still_loads(tmp_path):
    saved = tagger("cell:gru", use_rnn=False)
    saved.save(tmp_path / "tagger.pt")
    assert predictions(CellTagger.load(tmp_path / "tagger.pt")) == predictions(saved)


def test_loading_before_the_import_says_what_to_import(tmp_path):
    saved = tagger("cell:gru")
    saved.save(tmp_path / "tagger.pt")
    process = python(
        """
import flair
flair.logger.setLevel("ERROR")
from flair.nn import Classifier
try:
    Classifier.load(sys.argv[1])
except Exception as error:
    print("FIRST", error)
from tasks.tagging import CellTagger
print("THEN", type(Classifier.load(sys.argv[1])).__name__, type(CellTagger.load(sys.argv[1])).__name__)
""",
        str(tmp_path / "tagger.pt"),
    )
    lines = process.communicate(timeout=200)[0].splitlines()
    first = [line for line in lines if line.startswith("FIRST")]
    assert len(first) == 1
    assert "write `from tasks.tagging import CellTagger` before loading" in first[0]
    assert "THEN CellTagger CellTagger" in lines


def test_predicting_switches_dropout_off_and_leaves_the_mode_as_it_was():
    model = tagger("cell:gru", locked_dropout=0.5, dropout=0.5, dropout_h=0.5)
    assert model.training
    modes = [module.training for module in model.modules()]
    first = predictions(model)
    assert [module.training for module in model.modules()] == modes
    assert predictions(model) == first
    model.eval()
    assert predictions(model) == first
    assert not model.training


def test_flairs_own_tagger_predicts_with_dropout():
    """The trap that `CellTagger.predict` closes; without it the test above would mean nothing."""
    flair.set_seed(0)
    model = SequenceTagger(features(), type_dictionary(TRAIN), "ner", hidden_size=4, locked_dropout=0.5)
    with torch.no_grad():
        model.linear.weight.mul_(8)
    assert predictions(model) != predictions(model)


@register_embeddings
class FrozenFeatures(TokenEmbeddings):
    """Constant features behind a dropout, as a frozen transformer has."""

    def __init__(self) -> None:
        super().__init__()
        self.name = "frozen"
        self.static_embeddings = True
        self.dropout = torch.nn.Dropout(0.5)

    @property
    def embedding_length(self) -> int:
        return 3

    def _add_embeddings_internal(self, sentences):
        for sentence in sentences:
            for token in sentence.tokens:
                token.set_embedding(self.name, self.dropout(torch.ones(3)))


def test_frozen_features_stay_in_evaluation_mode_while_the_rest_trains():
    words, frozen = trained_words(TRAIN, 5, 2), FrozenFeatures()
    stack = StackedEmbeddings([words, StackedEmbeddings([frozen], overwrite_names=False)])
    model = CellTagger(stack, type_dictionary(TRAIN), "ner", rnn_type="cell:gru", hidden_size=4)
    model.train()
    assert (model.rnn.training, words.training, frozen.dropout.training) == (True, True, False)
    sentences = flair_sentences(TRAIN[:2])
    model.forward_loss(sentences)
    assert torch.equal(sentences[0][0]._embeddings[frozen.name], torch.ones(3))
    model.eval()
    assert not words.training


@pytest.mark.parametrize("mode", ["cpu", "none"])
def test_scores_are_fresh_whatever_is_stored(mode):
    model = tagger("cell:gru")
    development = flair_sentences(DEV)
    before = model.evaluate(development, "ner", embedding_storage_mode=mode).loss
    with torch.no_grad():
        for weight in model.embeddings.parameters():
            weight.uniform_(-3, 3)
    after = model.evaluate(development, "ner", embedding_storage_mode=mode).loss
    fresh = model.evaluate(flair_sentences(DEV), "ner", embedding_storage_mode="none").loss
    assert after == fresh
    assert after != before


def test_flairs_trainer_trains_it_and_reloads_its_best_model(tmp_path):
    model = tagger("cell:darts-v2", bidirectional=False, rnn_layers=2)
    corpus = Corpus(*(FlairDatapointDataset(flair_sentences(part)) for part in (TRAIN, DEV, TEST)))
    result = ModelTrainer(model, corpus).train(tmp_path, max_epochs=12, learning_rate=0.3, mini_batch_size=4)
    assert (tmp_path / "best-model.pt").exists()
    assert result["test_score"] > 0.1
    best = CellTagger.load(tmp_path / "best-model.pt")
    score = best.evaluate(flair_sentences(TEST), "ner").main_score
    assert score == pytest.approx(result["test_score"], abs=1e-12)


def test_the_layer_meets_what_flair_asks_of_it():
    model = tagger("cell:idarts-v1")
    assert isinstance(model.rnn, CellRNN)
    assert bool(model.rnn)
    assert not hasattr(model.rnn, "__len__")
    assert model.rnn_type == "cell:idarts-v1"
    assert isinstance(model.rnn.all_weights[0], list)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"train_initial_hidden_state": True}, "train_initial_hidden_state=True has no effect"),
        ({"rnn": torch.nn.LSTM(3, 3)}, "rnn= cannot be saved"),
        ({"rnn_type": "LSTM", "dropout_h": 0.1}, "use rnn_type='cell:lstm'"),
    ],
)
def test_what_flair_would_accept_and_ignore_is_refused(settings, words):
    with pytest.raises(CellzooError, match=words):
        tagger(**settings)


@pytest.mark.parametrize(
    ("rnn_type", "words"),
    [
        ("cell:dart-v2", "Did you mean 'darts-v2'"),
        ("lstm", "Known: GRU, LSTM, RNN. Or 'cell:<name>'"),
        ("cell:no/such.toml", "no such cell file"),
    ],
)
def test_an_unknown_cell_is_one_clear_message(rnn_type, words):
    with pytest.raises(UnknownNameError, match=words):
        tagger(rnn_type)

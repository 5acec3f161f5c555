"""CellTagger: any cell in Flair's tagger, saved and loaded without losing anything."""

from __future__ import annotations

import copy
from itertools import product

import flair.nn
import pytest
import torch
from flair.data import Corpus, Dictionary, Sentence
from flair.datasets import FlairDatapointDataset
from flair.embeddings import FlairEmbeddings, StackedEmbeddings, TokenEmbeddings
from flair.embeddings.base import register_embeddings
from flair.models import LanguageModel, SequenceTagger
from flair.trainers import ModelTrainer
from tagging_samples import DEV, TEST, TRAIN, features, predictions, python, tagger

import cellzoo
from cellzoo.errors import CellzooError, DataError, UnknownNameError
from cellzoo.layer import CellRNN
from cellzoo.system.tensor_file import read_tensors, write_tensors
from tasks.embeddings.frozen import FrozenEmbeddings
from tasks.tagging.corpus import flair_sentences, type_dictionary
from tasks.tagging.embeddings import characters, pretrained_words, trained_words
from tasks.tagging.flair_language_model import register_language_model_cell
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
    monkeypatch.setattr("tasks.tagging.layers.load", lambda name: cellzoo.load("enas"))
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
    """The bug that `CellTagger.predict` avoids; otherwise the test above could not fail."""
    flair.set_seed(0)
    model = SequenceTagger(features(), type_dictionary(TRAIN), "ner", hidden_size=4, locked_dropout=0.5)
    with torch.no_grad():
        model.linear.weight.mul_(8)
    assert predictions(model) != predictions(model)


@register_embeddings
class FrozenFeatures(TokenEmbeddings):
    """Constant features followed by dropout, as in a frozen transformer."""

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


def test_dropout_that_torchs_layers_lack_is_refused():
    with pytest.raises(CellzooError, match="use rnn_type='cell:lstm'"):
        tagger("LSTM", dropout_h=0.1)


@pytest.mark.parametrize("crf", [False, True])
def test_a_given_layer_is_used_as_it_is_and_saved(tmp_path, crf):
    layer = cellzoo.rnn("darts-v2", 9, 7, 2, dropout=0.25, dropout_h=0.125, bias=False, bidirectional=True)
    model = tagger(rnn=layer, use_crf=crf)
    assert model.rnn is layer
    assert (model.rnn_type, model.cell) == ("cell:darts-v2", layer.cell)
    assert model.linear.in_features == 14
    model.save(tmp_path / "tagger.pt")
    loaded = CellTagger.load(tmp_path / "tagger.pt")
    names = ("input_size", "hidden_size", "num_layers", "bias", "dropout", "bidirectional", "dropout_h")
    assert [getattr(loaded.rnn, name) for name in names] == [9, 7, 2, False, 0.25, True, 0.125]
    assert predictions(loaded) == predictions(model)


def test_a_given_layer_gives_what_the_same_layer_by_name_gives():
    named = tagger("cell:gru", hidden_size=6)
    layer = cellzoo.rnn("gru", 9, 6, bidirectional=True)
    given = tagger(rnn=layer)
    given.load_state_dict(named.state_dict())
    assert predictions(given) == predictions(named)


def test_a_given_layer_of_another_input_size_is_refused():
    with pytest.raises(CellzooError, match="rnn reads 5 values a token; the embeddings give 9"):
        tagger(rnn=cellzoo.rnn("gru", 5, 6))


class Mixture(torch.nn.GRU):
    """A layer that is neither a cell's nor torch's own, as a supernet is."""


def test_a_tagger_around_another_layer_works_but_is_not_saved(tmp_path):
    model = tagger(rnn=Mixture(9, 6, batch_first=True))
    assert len(predictions(model)) > 0
    for save in (model.save, model.save_safely):
        with pytest.raises(CellzooError, match="a tagger around a Mixture cannot be saved"):
            save(tmp_path / "tagger")
    assert list(tmp_path.iterdir()) == []


def test_flairs_own_tagger_does_not_load_it_as_something_else(tmp_path):
    for rnn_type in ("cell:gru", "LSTM"):
        tagger(rnn_type).save(tmp_path / "tagger.pt")
        with pytest.raises(CellzooError, match=r"holds a CellTagger; load it by CellTagger\.load or flair"):
            SequenceTagger.load(tmp_path / "tagger.pt")


@pytest.mark.parametrize("rnn_type", ["cell:lstm", "cell:gru", "LSTM", "RNN"])
def test_initial_states_are_learned(tmp_path, rnn_type):
    options = {"rnn_layers": 2, "word_dropout": 0.0, "locked_dropout": 0.0, "rnn_dropout": 0.0}
    plain, learning = (tagger(rnn_type, train_initial_hidden_state=way, **options) for way in (False, True))
    assert learning.train_initial_hidden_state
    learning.load_state_dict({**learning.state_dict(), **plain.state_dict()})
    assert predictions(learning) == predictions(plain)  # from zeros, as long as nothing was learned
    states = list(learning.initial_states.parameters())
    assert len(states) == (2 if rnn_type.lower().endswith("lstm") else 1)
    optimizer = torch.optim.Adam(learning.parameters(), 0.05)
    learning.forward_loss(flair_sentences(TRAIN))[0].backward()
    assert all(state.grad is not None and state.grad.abs().sum() > 0 for state in states)
    optimizer.step()
    learning.save(tmp_path / "tagger.pt")
    loaded = CellTagger.load(tmp_path / "tagger.pt")
    assert predictions(loaded) == predictions(learning)
    assert all(torch.equal(*pair) for pair in zip(loaded.initial_states.parameters(), states, strict=True))


def test_initial_states_do_not_depend_on_the_batch():
    model = tagger("cell:lstm", train_initial_hidden_state=True)
    with torch.no_grad():
        for state in model.initial_states.parameters():
            state.normal_()
    together = predictions(model)
    alone = flair_sentences(TEST)
    for sentence in alone:
        model.predict(sentence, label_name="found")
    for (spans, _), sentence in zip(together, alone, strict=True):
        found = [(label.data_point.text, label.value) for label in sentence.get_labels("found")]
        assert found == [span[:2] for span in spans]


def test_initial_states_of_an_unknown_layer_are_refused():
    with pytest.raises(CellzooError, match="needs a cell or one of torch's layers, not a Mixture"):
        tagger(rnn=Mixture(9, 6, batch_first=True), train_initial_hidden_state=True)


@pytest.mark.parametrize("mode", ["cpu", "none"])
def test_features_stay_in_sentences_if_they_are_asked_for(mode):
    model = tagger("cell:gru")
    sentences = flair_sentences(TEST)
    model.predict(sentences, embedding_storage_mode=mode, mini_batch_size=4)
    model.predict(sentences[0], 4, False, False, None, False, mode)
    for sentence in sentences:
        for token in sentence:
            assert len(token.get_embedding()) == (9 if mode == "cpu" else 0)
            assert not token.get_embedding().requires_grad
    fresh = flair_sentences(TEST)
    model.embeddings.embed(fresh)
    for one, other in zip(sentences, fresh, strict=True):
        for token, expected in zip(one, other, strict=True):
            if mode == "cpu":
                torch.testing.assert_close(
                    token.get_embedding(), expected.get_embedding().detach(), rtol=0, atol=1e-6
                )


@register_embeddings
class Learning(TokenEmbeddings):
    """Trainable features that only Flair can compute."""

    def __init__(self) -> None:
        super().__init__()
        self.name = "learning"
        self.static_embeddings = False
        self.weight = torch.nn.Parameter(torch.ones(3))

    @property
    def embedding_length(self) -> int:
        return 3

    def _add_embeddings_internal(self, sentences):
        for sentence in sentences:
            for token in sentence.tokens:
                token.set_embedding(self.name, len(token.text) * self.weight)


def test_trained_features_in_sentences_are_never_believed():
    model = CellTagger(Learning(), type_dictionary(TRAIN), "ner", rnn_type="cell:gru", hidden_size=4)
    sentences = flair_sentences(DEV)
    before = model.evaluate(sentences, "ner", embedding_storage_mode="cpu").loss
    assert all(len(token.get_embedding()) == 3 for sentence in sentences for token in sentence)
    with torch.no_grad():
        model.embeddings.weight.copy_(torch.tensor([3.0, -1.0, 2.0]))
    after = model.evaluate(sentences, "ner", embedding_storage_mode="cpu").loss
    assert after == model.evaluate(flair_sentences(DEV), "ner", embedding_storage_mode="none").loss
    assert after != before


@pytest.mark.parametrize("crf", [False, True])
@pytest.mark.parametrize("rnn_type", ["cell:darts-v2", "LSTM"])
def test_a_tagger_in_a_safe_file_predicts_what_it_did(tmp_path, rnn_type, crf):
    (tmp_path / "v.txt").write_text("paris 1 2\nada 3 4\n. 5 6\n")
    stack = StackedEmbeddings(
        [
            FrozenEmbeddings(pretrained_words(tmp_path / "v.txt")),
            StackedEmbeddings([trained_words(TRAIN, 5, 2)]),
            characters(TRAIN, 3, 2),
        ],
        overwrite_names=False,
    )
    model = CellTagger(
        stack,
        type_dictionary(TRAIN),
        "ner",
        rnn_type=rnn_type,
        hidden_size=4,
        rnn_layers=2,
        use_crf=crf,
        train_initial_hidden_state=True,
        word_dropout=0.25,
        dropout=0.125,
    )
    with torch.no_grad():
        model.linear.weight.mul_(8)
    expected = predictions(model)
    model.save_safely(tmp_path / "tagger.safetensors")
    read, content = read_tensors(tmp_path / "tagger.safetensors")
    assert set(read) == set(model.state_dict())
    assert content["rnn_type"] == rnn_type
    loaded = CellTagger.load_safely(str(tmp_path / "tagger.safetensors"))
    assert not loaded.training
    assert predictions(loaded) == expected
    assert (loaded.use_word_dropout, loaded.use_dropout) == (0.25, 0.125)
    assert not any(weight.requires_grad for weight in loaded.embeddings.embeddings[0].parameters())


def test_what_only_pickle_could_write_is_refused_in_a_safe_file(tmp_path):
    model = CellTagger(FrozenFeatures(), type_dictionary(TRAIN), "ner", hidden_size=4)
    with pytest.raises(CellzooError, match="FrozenFeatures cannot be written without pickle"):
        model.save_safely(tmp_path / "tagger.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_safe_file_that_is_not_one_is_one_clear_message(tmp_path):
    path = tmp_path / "tagger.safetensors"
    with pytest.raises(DataError, match="cannot be read"):
        CellTagger.load_safely(path)
    tagger("cell:gru").save(path)
    with pytest.raises(DataError, match="complete safetensors file"):
        CellTagger.load_safely(path)
    write_tensors(path, {"a": torch.ones(2)}, {"format": "other"})
    with pytest.raises(DataError, match="is not a tagger written by CellTagger"):
        CellTagger.load_safely(path)
    tagger("cell:gru").save_safely(path)
    tensors, content = read_tensors(path)
    for change in (
        {"embeddings": {"class": "pickle"}},
        {"labels": {"items": 3}},
        {"layer": {**content["layer"], "arguments": {"input_size": 9, "hidden_size": 5}}},
        {"weight_dict": 3},
    ):
        write_tensors(path, tensors, {**content, **change})
        with pytest.raises(DataError, match=r"tagger\.safetensors: is damaged"):
            CellTagger.load_safely(path)


@pytest.fixture
def flair_layers(monkeypatch):
    """Replace Flair's table of layers by a copy during the test."""
    monkeypatch.setattr("flair.nn.recurrent.rnn_layers", copy.copy(flair.nn.recurrent.rnn_layers))
    return flair.nn.recurrent


@pytest.mark.parametrize("name", ["darts-v2", "gru", "lstm"])
@pytest.mark.parametrize("beforehand", [True, False])
def test_a_cell_in_flairs_language_model(tmp_path, name, beforehand, flair_layers):
    kind = register_language_model_cell(name) if beforehand else f"cell:{name}"
    letters = Dictionary()
    for letter in "abc \n":
        letters.add_item(letter)
    flair.set_seed(0)
    model = LanguageModel(letters, True, hidden_size=6, nlayers=2, embedding_size=4, recurrent_type=kind)
    assert isinstance(model.rnn, CellRNN)
    model.eval()
    text = torch.tensor([[letters.get_idx_for_item(letter) for letter in "abcabc"]]).T  # (T, 1)
    hidden = model.init_hidden(1)
    assert len(hidden) == len(model.rnn.cell.states)
    whole, _, _ = model.forward(text, hidden)
    first, _, hidden = model.forward(text[:4], hidden)
    second, _, _ = model.forward(text[4:], hidden)
    torch.testing.assert_close(torch.cat([first, second]), whole)
    model.save(tmp_path / "lm.pt")
    loaded = FlairEmbeddings(LanguageModel.load_language_model(tmp_path / "lm.pt"))
    sentence = Sentence(["abc", "b"])
    loaded.embed(sentence)
    assert sentence[1].get_embedding().shape == (6,)


def test_a_saved_language_model_finds_its_cell(tmp_path, flair_layers):
    model = LanguageModel(Dictionary(), True, 6, 1, embedding_size=4, recurrent_type="cell:gru")
    model.save(tmp_path / "lm.pt")
    del flair_layers.rnn_layers["cell:gru"]
    loaded = LanguageModel.load_language_model(tmp_path / "lm.pt")
    assert loaded.rnn.cell.hash == model.rnn.cell.hash
    with pytest.raises(CellzooError, match="unknown cell 'grue'"):
        LanguageModel(Dictionary(), True, 6, 1, recurrent_type="cell:grue")
    with pytest.raises(AssertionError):
        LanguageModel(Dictionary(), True, 6, 1, recurrent_type="grue")


def test_a_cell_that_flairs_language_model_cannot_run_is_refused(tmp_path):
    file = tmp_path / "carrying.toml"
    cell = "h' = tanh(linear(x, x_1, h))\nx_1' = x\n"
    file.write_text(f'name = "carrying"\nnotation = "equations"\ngenotype = """\n{cell}"""\n')
    with pytest.raises(CellzooError, match="carries its input from step to step"):
        register_language_model_cell(str(file))
    file = tmp_path / "Capital.toml"
    file.write_text(f'name = "capital"\nnotation = "equations"\ngenotype = """\n{OWN}"""\n')
    with pytest.raises(CellzooError, match="Flair writes recurrent_type in lower case"):
        register_language_model_cell(str(file))


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

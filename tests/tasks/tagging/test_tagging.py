"""The tagging problem: its model, loss and evaluation around any layer, and what it says of odd data."""

from __future__ import annotations

import logging
import math
import random
from dataclasses import replace
from itertools import chain

import flair
import numpy as np
import pytest
import torch
from flair.embeddings import TokenEmbeddings, WordEmbeddings
from real_data import data_folder
from seqeval.metrics.sequence_labeling import get_entities
from tagging_samples import (
    CPU,
    DATA,
    DEV,
    STRONG,
    TEST,
    TINY,
    TRAIN,
    predicted_tags,
    problem,
    python,
    spans_of,
    train,
)

import cellzoo
from cellzoo.errors import CellzooError, DataError
from search.supernets.layout import CELL, Layout
from search.supernets.network import Supernet
from search.supernets.relaxation import LocalSoftmax
from tasks.data.conll import TaggedSentence
from tasks.data.locate import find
from tasks.data.read import TaggedData
from tasks.embeddings.features import Feature
from tasks.settings import configure
from tasks.sizing import sized
from tasks.tagging import tagging as tagging_module
from tasks.tagging.corpus import flair_sentences
from tasks.tagging.embeddings import pretrained_words
from tasks.tagging.problem import KIND
from tasks.tagging.scores import micro
from tasks.tagging.settings import TaggingSettings
from tasks.tagging.tagger import CellTagger
from tasks.tagging.tagging import Tagging
from tasks.training.fit import fit, recurrent_layer
from tasks.training.loop import Place
from tasks.training.settings import TrainingSettings


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def model_of(tagging, cell="gru", seed=0):
    drawn = generator(seed)
    return tagging.model(recurrent_layer(cellzoo.load(cell), tagging.layer, drawn), drawn)


def supernet_of(tagging, seed=0):
    layout = Layout(nodes=3, normalisation="none")
    relaxation = LocalSoftmax(layout, tagging.layer, generator(seed))
    return Supernet(layout, tagging.layer, relaxation, generator(seed))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A tagger that finds some spans and misses others."""
    tagging = problem(**STRONG)
    return tagging, train(tmp_path_factory.mktemp("trained"), tagging, epochs=4).model


def with_split(split, sentences):
    return replace(DATA, splits={**DATA.splits, split: sentences})


@pytest.mark.parametrize("crf", [True, False])
@pytest.mark.parametrize("split", ["dev", "test"])
def test_evaluation_is_conllevals_of_the_tags_that_flair_predicts(tmp_path, crf, split):
    tagging = problem(crf=crf, **STRONG)
    model = train(tmp_path, tagging, epochs=4).model
    ours = tagging.evaluate(model, split)
    sentences = flair_sentences(DATA.splits[split])
    flairs = model.evaluate(sentences, "ner", out_path=None, mini_batch_size=len(sentences))
    assert 0 < ours.metrics["f1"] < 100
    assert ours.metrics["loss"] == pytest.approx(flairs.loss, rel=1e-5)
    predicted = predicted_tags(model, sentences)
    total = [0, 0, 0]
    for sentence, item, tags in zip(sentences, ours.items, predicted, strict=True):
        gold = set(spans_of(sentence, "ner"))
        found = {(start, end + 1, kind) for kind, start, end in get_entities(tags)}
        counts = list(map(len, (gold & found, found - gold, gold - found)))
        assert [item["tp"], item["fp"], item["fn"]] == counts
        total = [a + b for a, b in zip(total, counts, strict=True)]
    tp, fp, fn = total
    assert ours.metrics["f1"] == ours.metrics["seqeval_f1"] == pytest.approx(100 * 2 * tp / (2 * tp + fp + fn))
    assert ours.metrics["precision"] == pytest.approx(100 * tp / (tp + fp))
    assert [item["index"] for item in ours.items] == list(range(len(sentences)))


def test_neither_batches_nor_padding_change_an_evaluation(trained, monkeypatch):
    tagging, model = trained
    expected = tagging.evaluate(model, "test")
    for size in (1, 2, 5):
        monkeypatch.setattr(tagging_module, "_EVALUATION_BATCH", size)
        found = tagging.evaluate(model, "test")
        assert found.items == expected.items
        assert found.metrics == pytest.approx(dict(expected.metrics), rel=1e-6)


def test_an_evaluation_draws_nothing_and_leaves_the_mode_and_the_sentences(trained):
    tagging, model = trained
    model.train()
    model.rnn.eval()
    modes = [module.training for module in model.modules()]
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    reports = []
    first = tagging.evaluate(model, "dev", reports.append)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before[1:]
    assert [module.training for module in model.modules()] == modes
    assert tagging.evaluate(model, "dev") == first
    assert (reports[-1], reports) == (1.0, sorted(reports))
    assert not any(token._embeddings for sentence in tagging._sentences["dev"] for token in sentence)
    assert {name for s in tagging._sentences["dev"] for name in s.annotation_layers} == {"ner"}


@pytest.mark.parametrize("crf", [True, False])
def test_the_loss_is_in_nats_a_token_and_the_weights_learn_from_its_sum(crf):
    tagging = problem(crf=crf)
    model = model_of(tagging).eval()
    batch = next(tagging.train_batches(generator()))
    assert batch.tokens == sum(len(sentence.tokens) for sentence in batch.content)
    loss, penalised, carry, factor = tagging.loss(model, batch, None)
    with torch.no_grad():
        total, tokens = model.forward_loss(batch.content)
    assert (tokens, carry, factor) == (batch.tokens, None, batch.tokens)
    assert loss.item() == pytest.approx(total.item() / tokens, rel=1e-6)
    assert penalised.item() == pytest.approx(total.item(), rel=1e-6)


def test_batches_go_through_all_sentences_in_an_order_that_the_generator_draws():
    def texts(batches):
        return [[sentence.to_plain_string() for sentence in batch.content] for batch in batches]

    tagging = problem()
    expected = sorted(sentence.to_plain_string() for sentence in flair_sentences(TRAIN))
    first = texts(tagging.train_batches(generator(1)))
    assert len(first) == tagging.steps == math.ceil(len(TRAIN) / TINY["batch_size"])
    assert sorted(chain.from_iterable(first)) == expected
    assert texts(tagging.train_batches(generator(1))) == first
    assert texts(tagging.train_batches(generator(2))) != first
    endless = tagging.validation_batches(generator(1))
    rounds = [texts(next(endless) for _ in range(2)) for _ in range(2)]
    dev = sorted(sentence.to_plain_string() for sentence in flair_sentences(DEV))
    assert [sorted(chain.from_iterable(one)) for one in rounds] == [dev, dev]
    assert rounds[0] != rounds[1]


def test_the_searched_model_is_the_evaluated_model():
    tagging = problem(**{**TINY, "dropout": 0.125, "word_dropout": 0.25})
    searched = tagging.model(supernet_of(tagging), generator(5))
    evaluated = tagging.model(
        recurrent_layer(cellzoo.load("darts-v2"), tagging.layer, generator()), generator(5)
    )

    def around(model):
        return {name: weight for name, weight in model.state_dict().items() if not name.startswith("rnn.")}

    one, other = around(searched), around(evaluated)
    assert one.keys() == other.keys()
    assert {"crf.transitions", "embedding2nn.weight"} < one.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    for name in ("use_dropout", "use_word_dropout", "use_locked_dropout", "use_crf", "tag_format"):
        assert getattr(searched, name) == getattr(evaluated, name)
    assert (searched.rnn.layer.dropout_x, searched.rnn.layer.dropout_h) == (0.1, 0.1)
    assert (evaluated.rnn.dropout_x, evaluated.rnn.dropout_h) == (0.1, 0.1)


def test_a_supernet_learns_in_it_and_padding_changes_nothing(monkeypatch):
    tagging = problem(**STRONG)
    supernet = supernet_of(tagging)
    model = tagging.model(supernet, generator())
    alpha = supernet.relaxation.alphas[CELL]
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    losses = []
    for _ in range(6):
        for batch in tagging.train_batches(generator()):
            optimizer.zero_grad()
            tagging.loss(model, batch, None).penalised.backward()
            assert alpha.grad.abs().sum() > 0
            optimizer.step()
        losses.append(tagging.evaluate(model, "dev"))
    assert losses[-1].metrics["loss"] < 0.7 * losses[0].metrics["loss"]
    monkeypatch.setattr(tagging_module, "_EVALUATION_BATCH", 1)
    assert tagging.evaluate(model, "dev").metrics == pytest.approx(dict(losses[-1].metrics), rel=1e-6)


def test_a_supernet_that_is_one_cell_tags_as_that_cell_does():
    from supernets import edge_shares, lay_into

    from search.supernets.relaxation import Chosen

    tagging = problem(**STRONG)
    tagging.layer = replace(tagging.layer, dtype=torch.float64)
    layout = Layout(nodes=2, normalisation="none")
    held = Chosen(layout, tagging.layer)
    held.choose({CELL: edge_shares(layout, [[("tanh", 0)], [("relu", 1)]])})
    supernet = Supernet(layout, tagging.layer, held, generator())
    cell = cellzoo.parse("Genotype(recurrent=[('tanh', 0), ('relu', 1)], concat=range(1, 3))", notation="darts")
    layer = recurrent_layer(cell, tagging.layer, generator())
    lay_into(layer, supernet)
    one, other = (tagging.model(rnn, generator(3)).double() for rnn in (supernet, layer))
    found, expected = tagging.evaluate(one, "test"), tagging.evaluate(other, "test")
    assert found.items == expected.items
    assert found.metrics == pytest.approx(dict(expected.metrics), rel=1e-12)


def test_a_seed_means_the_same_weights_and_flairs_globals_stay():
    tagging = problem()
    layers = [recurrent_layer(cellzoo.load("gru"), tagging.layer, generator()) for _ in range(3)]
    before = (flair.device, logging.getLogger("flair").level, torch.get_rng_state())
    first, again, other = (
        tagging.model(layer, generator(seed)).state_dict()
        for layer, seed in zip(layers, (0, 0, 1), strict=True)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    changed = [name for name in first if not torch.equal(first[name], other[name])]
    assert {"linear.weight", "crf.transitions", "embeddings.list_embedding_0.embedding_layer.weight"} <= set(
        changed
    )
    assert (flair.device, logging.getLogger("flair").level) == before[:2]
    assert torch.equal(torch.get_rng_state(), before[2])


def test_flairs_device_is_the_runs_within_and_as_before_afterwards(monkeypatch, capfd):
    elsewhere = torch.device("meta")
    monkeypatch.setattr(flair, "device", elsewhere)
    tagging = problem()
    model = model_of(tagging)
    assert {weight.device.type for weight in model.parameters()} == {"cpu"}
    tagging.loss(model, next(tagging.train_batches(generator())), None).loss.backward()
    tagging.evaluate(model, "dev")
    monkeypatch.setattr(CellTagger, "forward", lambda *_: 1 / 0)
    for use in (
        lambda: tagging.evaluate(model, "dev"),
        lambda: tagging.loss(model, next(tagging.train_batches(generator())), None),
    ):
        with pytest.raises(ZeroDivisionError):
            use()
        assert flair.device is elsewhere
    assert model.training
    assert capfd.readouterr() == ("", "")


def test_no_span_to_find_and_none_found_is_undefined_and_said(trained):
    empty = [TaggedSentence(("nothing", "here"), ("O", "O"))]
    tagging = problem(with_split("test", empty), **STRONG)
    model = model_of(tagging)
    with torch.no_grad():
        model.linear.bias[model.label_dictionary.get_idx_for_item("O")] += 1e3
    evaluation = tagging.evaluate(model, "test")
    assert all(math.isnan(evaluation.metrics[name]) for name in ("f1", "precision", "recall"))
    assert math.isfinite(evaluation.metrics["loss"])
    assert evaluation.notes == ("test holds no entity and none was found, so its F1 is undefined",)
    silent = tagging.evaluate(model, "dev")
    assert (silent.metrics["f1"], silent.metrics["recall"]) == (0.0, 0.0)
    assert math.isnan(silent.metrics["precision"])
    assert silent.notes == ("nothing was found in dev, so its precision is undefined",)


def test_a_dev_without_entities_still_chooses_an_epoch(tmp_path):
    data = with_split("dev", [TaggedSentence(("nothing", "here"), ("O", "O"))] * 3)
    fitted = train(tmp_path, problem(data), epochs=3)
    losses = [epoch["dev"]["loss"] for epoch in fitted.standing.history]
    scored = [epoch["dev"]["f1"] for epoch in fitted.standing.history]
    assert fitted.best_epoch == 1 + losses.index(min(losses)) or any(score == 0.0 for score in scored)


def test_spans_found_where_there_is_none_leave_f1_undefined(trained):
    _, model = trained
    nothing = [TaggedSentence(one.tokens, ("O",) * len(one.tokens)) for one in TEST]
    evaluation = problem(with_split("test", nothing), **STRONG).evaluate(model, "test")
    found = sum(item["fp"] for item in evaluation.items)
    assert found > 0
    assert math.isnan(evaluation.metrics["f1"])
    assert math.isnan(evaluation.metrics["strict_f1"])
    assert evaluation.notes == (f"test holds no entity and {found} were found, so its F1 is undefined",)


def test_dev_can_be_trained_on_and_results_say_so():
    ours, plain = problem(train_with_dev=True, **STRONG), problem(**STRONG)
    drawn = [sentence for batch in ours.train_batches(generator()) for sentence in batch.content]
    words = sorted(sentence.to_plain_string() for sentence in drawn)
    assert words == sorted(" ".join(one.tokens) for one in [*TRAIN, *DEV])
    assert ours.steps == -(-len(words) // 4) > plain.steps
    note = "trained on train and dev together: the value on dev is of training data"
    assert note in ours.evaluate(model_of(ours), "test").notes
    assert KIND.outline(TaggingSettings(corpus="x", train_with_dev=True)).dev == "dev (trained on)"


def test_tags_of_tokens_are_measured_in_accuracy(trained):
    data = TaggedData(
        {
            split: [TaggedSentence(one.tokens, tuple(token[0] for token in one.tokens)) for one in part]
            for split, part in DATA.splits.items()
        },
        "tokens",
        (),
    )
    ours = problem(data, scheme="tokens", crf=False, **STRONG)
    evaluation = ours.evaluate(model_of(ours), "test")
    assert set(evaluation.metrics) == {"loss", "accuracy"}
    right = sum(item["tp"] for item in evaluation.items)
    assert evaluation.metrics["accuracy"] == pytest.approx(100 * right / sum(len(one.tokens) for one in TEST))
    assert [metric.name for metric in ours.metrics] == ["accuracy"]


def test_a_tagger_is_as_wide_as_parameters_allow():
    cell = cellzoo.load("darts-v2")
    ours, held = sized(problem(cell_parameters=2000), cell)
    rnn = recurrent_layer(cell, ours.layer, generator())
    assert sum(weight.numel() for weight in rnn.parameters()) == held.reached
    assert math.isfinite(ours.evaluate(ours.model(rnn, generator()), "dev").metrics["loss"])


def test_a_type_that_only_test_has_is_missed_and_named():
    odd = TaggedSentence(("Acme", "hired", "Ada"), ("B-company", "O", "B-person"))
    plain, tagging = problem(**STRONG), problem(with_split("test", [*TEST, odd]), **STRONG)
    model, other = model_of(tagging), model_of(plain)
    found, expected = tagging.evaluate(model, "test"), plain.evaluate(other, "test")
    assert found.items[:-1] == expected.items
    assert found.items[-1]["types"]["company"][2] == 1
    assert found.metrics["loss"] == pytest.approx(expected.metrics["loss"], rel=1e-6)
    assert found.notes[-1] == (
        "test has types that neither train nor dev has, so they cannot be found: company (1)"
    )


def test_a_type_that_only_dev_has_is_known():
    extra = TaggedSentence(("Acme", "grows"), ("B-company", "O"))
    tagging = problem(with_split("dev", [*DEV, extra]))
    evaluation = tagging.evaluate(model_of(tagging), "dev")
    assert math.isfinite(evaluation.metrics["loss"])
    assert evaluation.notes == () or "types" not in evaluation.notes[-1]


def corpus_file(folder, train, dev, test):
    """A corpus in column files below a folder, found as users' own data are."""
    for name, sentences in (("train", train), ("dev", dev), ("test", test)):
        lines = ("\n".join(f"{token}\t{tag}" for token, tag in sentence) for sentence in sentences)
        (folder / f"{name}.conll").write_text("\n\n".join(lines) + "\n")
    name = "conll:train.conll,dev.conll,test.conll"
    return name, {name: find(name, folder)}


NONE = [[("a", "O"), ("b", "O")]]
SOME = [[("Ada", "B-person"), ("left", "O")]]


@pytest.mark.parametrize(
    ("splits", "words"),
    [((NONE, NONE, SOME), "train and dev hold no entity"), ((NONE, SOME, SOME), "train holds no entity")],
)
def test_nothing_to_learn_is_an_error_before_anything_is_trained(tmp_path, splits, words):
    name, data = corpus_file(tmp_path, *splits)
    settings = TaggingSettings(corpus=name)
    for use in (lambda: KIND.build(data, settings, CPU), lambda: KIND.check_data(data, settings)):
        with pytest.raises(DataError, match=words) as caught:
            use()
        assert "train.conll" in str(caught.value)


def test_tags_of_single_tokens_are_scored_as_tokens(tmp_path):
    words = {"the": "DET", "cat": "NOUN", "dog": "NOUN", "sat": "VERB", "ran": "VERB", ".": "PUNCT"}
    sentences = [
        [(word, words[word]) for word in text.split()]
        for text in ("the cat sat .", "the dog ran .", "cat ran", "the dog sat", "dog .")
    ]
    name, data = corpus_file(tmp_path, sentences * 4, sentences, [*sentences, [("hmm", "INTJ")]])
    settings = TaggingSettings(corpus=name, **{**TINY, **STRONG})
    tagging = KIND.build(data, settings, CPU)
    fitted = train(tmp_path / "run", tagging, epochs=6, optimizer="adam", learning_rate=0.05)
    dev, test = (tagging.evaluate(fitted.model, split) for split in ("dev", "test"))
    assert dev.metrics["f1"] == dev.metrics["precision"] == dev.metrics["recall"] > 80
    tokens = sum(map(len, sentences))
    assert sum(item["tp"] + item["fn"] for item in test.items) == tokens + 1
    assert test.metrics["f1"] < 100
    assert "INTJ (1)" in test.notes[-1]
    fresh = flair_sentences(tagging_module.read_corpus(data, settings).splits["dev"], "tokens")
    accuracy = fitted.model.evaluate(fresh, "ner").scores["accuracy"]
    assert dev.metrics["f1"] == pytest.approx(100 * accuracy, abs=1e-9)


def test_word_vectors_stay_and_what_was_used_is_said(tmp_path):
    name, data = corpus_file(tmp_path, SOME * 5, SOME, [[("PARIS", "B-person"), ("42", "O")]])
    (tmp_path / "glove").mkdir()
    (tmp_path / "glove" / "glove.6B.50d.txt").write_text(
        "".join(f"{word} {' '.join(['0.5'] * 50)}\n" for word in ("left", "paris", "unused", "##"))
    )
    data["glove-6b-50d"] = find("glove-6b-50d", tmp_path)
    settings = TaggingSettings(corpus=name, vectors="glove-6b-50d", **{**TINY, **STRONG})
    assert KIND.outline(settings).data == (name, "glove-6b-50d")
    tagging = KIND.build(data, settings, CPU, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()  # look-ups are not worth a file
    assert tagging.layer.input_size == 50 + 2 * TINY["character_hidden"]
    fitted = train(tmp_path / "run", tagging, epochs=2)
    frozen = [weight for weight in fitted.model.parameters() if not weight.requires_grad]
    assert [tuple(weight.shape) for weight in frozen] == [(4, 50)]
    assert set(frozen[0].flatten().tolist()) == {0.0, 0.5}
    assert tagging.vectors(fitted.model) is None
    (note,) = tagging.evaluate(fitted.model, "test").notes[:1]
    assert note.startswith("glove-6b-50d: 3 of 4 vectors are used (sha256 of these ")
    assert note.endswith("tokens without one: train 50.0 %, dev 50.0 %, test 0.0 %")


class Slow(TokenEmbeddings):
    """Frozen features that are not look-ups; counts the sentences that it computes."""

    computed = 0

    def __init__(self) -> None:
        super().__init__()
        self.name = "slow"
        self.static_embeddings = True

    @property
    def embedding_length(self) -> int:
        return 2

    def _add_embeddings_internal(self, sentences):
        for sentence in sentences:
            Slow.computed += 1
            for token in sentence.tokens:
                token.set_embedding(self.name, torch.tensor([float(len(token.text)), 1.0]))


def test_frozen_features_are_computed_once_for_all_runs_of_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tasks.embeddings.frozen.identity_of", lambda embeddings, name: "5" * 64)
    monkeypatch.setattr(Slow, "computed", 0)

    def run(folder, cache):
        settings = TaggingSettings(**{**TINY, **STRONG, "hidden_size": 3})
        tagging = Tagging(
            "samples", DATA, settings, CPU, frozen=[(Feature("flair", "slow"), Slow())], cache=cache
        )
        return train(folder, tagging, epochs=2).standing.history

    different = {sentence.tokens for split in DATA.splits.values() for sentence in split}
    first = run(tmp_path / "a", tmp_path / "cache")
    assert Slow.computed == len(different)
    second = run(tmp_path / "b", tmp_path / "cache")
    assert Slow.computed == len(different)
    live = run(tmp_path / "c", None)
    assert Slow.computed == len(different) + 2 * (len(TRAIN) + len(DEV))

    def numbers(history):
        return [(epoch["train_loss"], epoch["dev"]) for epoch in history]

    assert numbers(first) == numbers(second) == numbers(live)


def test_trained_word_vectors_and_tables_are_counted():
    tagging = problem()
    model = model_of(tagging)
    words, vectors = tagging.vectors(model)
    assert vectors.shape == (len(words), TINY["word_size"])
    assert {"saw", "near"} < set(words)
    letters = model.embeddings.embeddings[1].vectors.weight
    assert tagging.embedding_parameters(model) == vectors.numel() + letters.numel()
    frozen = Tagging(
        "samples",
        DATA,
        TaggingSettings(**{**TINY, "vectors": "v"}),
        CPU,
        frozen=[
            (
                Feature("vectors", "v"),
                WordEmbeddings(None, vocab={"saw": 0}, embedding_length=3, name="words"),
            )
        ],
    )
    assert frozen.embedding_parameters(model_of(frozen)) == 2 * 3 + letters.numel()


def test_looking_at_the_kind_imports_nothing_heavy():
    process = python(
        "from tasks.tagging.problem import KIND; KIND.outline(KIND.settings()); import tasks.tagging\n"
        "print([name for name in ('torch', 'flair', 'gensim', 'numpy') if name in sys.modules])"
    )
    assert process.communicate(timeout=100)[0].strip() == "[]"


def test_the_package_names_what_it_has():
    import tasks.tagging

    assert tasks.tagging.CellTagger is CellTagger
    assert tasks.tagging.CharacterFeatures.__name__ == "CharacterFeatures"
    assert tasks.tagging.register_language_model_cell.__name__ == "register_language_model_cell"
    with pytest.raises(AttributeError, match="Cell_Tagger"):
        _ = tasks.tagging.Cell_Tagger


def test_the_defaults_are_flairs_for_a_birnn_crf():
    settings = TaggingSettings().model_dump()
    expected = {"hidden_size": 256, "layers": 1, "bidirectional": True, "crf": True, "reproject": True}
    expected |= {"locked_dropout": 0.5, "word_dropout": 0.05, "dropout": 0.0, "batch_size": 32}
    assert {name: settings[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("hidden_size", 0, "at least 1"),
        ("locked_dropout", 1.0, "below 1"),
        ("word_min_count", 0, "at least 1"),
        ("tag_format", "IOB1", "BIOES"),
        ("tags", "lenient", "strict"),
    ],
)
def test_a_setting_out_of_range_names_itself_and_what_would_be_right(name, value, right):
    with pytest.raises(CellzooError, match=f"'{name}'.*{right}"):
        configure(TaggingSettings, {name: value}, "tagging")


def test_small_ner_learns_something_but_not_everything(tmp_path):
    settings = TaggingSettings(
        corpus="small-ner",
        hidden_size=48,
        word_size=48,
        crf=False,
        reproject=False,
        character_hidden=0,
        **dict.fromkeys(("word_dropout", "locked_dropout"), 0.0),
    )
    tagging = KIND.build({"small-ner": find("small-ner")}, settings, CPU)
    fitted = train(tmp_path, tagging, epochs=4, optimizer="adam", learning_rate=0.02)
    evaluation = tagging.evaluate(fitted.model, "test")
    assert 20 < evaluation.metrics["f1"] < 99
    assert micro(evaluation.items).f1 == evaluation.metrics["f1"]
    for item in evaluation.items:
        counts = [sum(kind) for kind in zip(*item["types"].values(), strict=True)] or [0, 0, 0]
        assert [item["tp"], item["fp"], item["fn"]] == counts


@pytest.mark.slow
def test_an_epoch_of_wnut17(tmp_path):
    folder = data_folder("wnut17")
    settings = TaggingSettings(corpus="wnut17", vectors="glove-6b-50d", hidden_size=16)
    data = {name: find(name, folder) for name in KIND.outline(settings).data}
    tagging = KIND.build(data, settings, CPU)
    place = Place(tmp_path, "a" * 64, "wnut17", lambda fraction, words: None)
    fitted = fit(tagging, cellzoo.load("lstm"), TrainingSettings(epochs=1), 0, place)
    assert fitted.standing.tokens == 62730
    items = tagging.evaluate(fitted.model, "test").items
    assert (len(items), sum(item["tp"] + item["fn"] for item in items)) == (1287, 1079)
    words = pretrained_words(data["glove-6b-50d"].parts["vectors"])
    assert len(words.vocab) == 83341
    assert isinstance(DATA, TaggedData)

"""The tagging problem: its model around any layer, its loss and its settings."""

import logging
import math
from dataclasses import replace
from itertools import chain

import flair
import pytest
import torch
from real_data import data_folder
from tagging_samples import (
    CPU,
    DATA,
    DEV,
    STRONG,
    TINY,
    TRAIN,
    generator,
    model_of,
    problem,
    python,
    train,
)

import cellzoo
from cellzoo.errors import CellzooError
from search.supernets.layout import CELL, Layout
from search.supernets.network import Supernet
from search.supernets.relaxation import LocalSoftmax
from tasks.data.locate import find
from tasks.data.read import TaggedData
from tasks.settings import Typed, configure, plain
from tasks.sizing import sized
from tasks.tagging import tagging as tagging_module
from tasks.tagging.corpus import flair_sentences
from tasks.tagging.embeddings import pretrained_words
from tasks.tagging.problem import KIND
from tasks.tagging.scores import micro
from tasks.tagging.settings import TaggingSettings
from tasks.tagging.tagger import CellTagger
from tasks.training.fit import fit, recurrent_layer
from tasks.training.loop import Place
from tasks.training.settings import TrainingSettings


def supernet_of(tagging, seed=0):
    layout = Layout(nodes=3, normalisation="none")
    relaxation = LocalSoftmax(layout, tagging.layer, generator(seed))
    return Supernet(layout, tagging.layer, relaxation, generator(seed))


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


def test_a_tagger_is_as_wide_as_parameters_allow():
    cell = cellzoo.load("darts-v2")
    ours, held = sized(problem(cell_parameters=2000), cell)
    rnn = recurrent_layer(cell, ours.layer, generator())
    assert sum(weight.numel() for weight in rnn.parameters()) == held.reached
    assert math.isfinite(ours.evaluate(ours.model(rnn, generator()), "dev").metrics["loss"])


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


@pytest.mark.parametrize(
    ("name", "scheme"), [("BIO", "IOB2"), ("IOBES", "BIOES"), ("BIOUL", "BILOU"), ("IOB1", "IOB1")]
)
@pytest.mark.parametrize("typed", [False, True])
def test_other_common_names_of_a_scheme_are_taken(name, scheme, typed):
    settings = configure(TaggingSettings, {"scheme": Typed(name) if typed else name}, "the test")
    assert plain(settings)["scheme"] == scheme

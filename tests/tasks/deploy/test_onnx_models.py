"""Exported models: onnxruntime gives the same results as torch."""

from __future__ import annotations

import json
import logging.handlers
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from flair.embeddings import StackedEmbeddings
from small_examples import write_pairs
from tagging_samples import TEST, TRAIN, features, tagger

import cellzoo
from cellzoo.cli.main import main
from cellzoo.errors import CellzooError, DataError
from cellzoo.export import to_onnx
from tasks.classification.model_file import read_classifier
from tasks.classification.problem import KIND as CLASSIFICATION
from tasks.classification.settings import ClassificationSettings
from tasks.data.conll import TaggedSentence
from tasks.data.locate import find
from tasks.data.vectors import WordVectors
from tasks.deploy.classifier import export_classifier
from tasks.deploy.find import find_model
from tasks.deploy.reader import DeployedClassifier, DeployedTagger, load
from tasks.deploy.tagger import export_tagger
from tasks.embeddings.frozen import FrozenEmbeddings
from tasks.registry import build_task, find_source
from tasks.runs import run_suite
from tasks.settings import configure
from tasks.tagging.corpus import flair_sentences, type_dictionary
from tasks.tagging.embeddings import characters, trained_words, word_embeddings
from tasks.tagging.evaluation import evaluate_batch
from tasks.tagging.tagger import CellTagger

ODD = [["Ada"], ["§§", "PARIS", "1999", "x"], ["né", "Oslo"], ["a" * 40, "b"]]


def sentences():
    return [list(one.tokens) for one in (*TEST, *TRAIN)] + ODD


def decoded(model, tokens):
    """Tags as the model finds them for all sentences in one batch."""
    read = flair_sentences([TaggedSentence(tuple(one), ("O",) * len(one)) for one in tokens])
    order = sorted(range(len(read)), key=lambda place: -len(read[place].tokens))
    found = evaluate_batch(model.eval(), [read[place] for place in order], [])[0]
    return [one.spans for _, one in sorted(zip(order, found, strict=True), key=lambda pair: pair[0])]


@pytest.mark.parametrize(
    ("cell", "settings"),
    [
        ("cell:darts-v2", {}),
        ("cell:lstm", {"rnn_layers": 2, "train_initial_hidden_state": True}),
        ("cell:gru", {"use_crf": False, "bidirectional": False, "reproject_embeddings": False}),
        ("cell:t-lstm", {"tag_format": "BIO"}),
    ],
)
def test_tagger(cell, settings, tmp_path):
    model = tagger(cell, **{"hidden_size": 8, **settings})
    if "train_initial_hidden_state" in settings:
        with torch.no_grad():
            for state in model.initial_states.states:
                state.normal_(generator=torch.Generator().manual_seed(3))
    export_tagger(model, tmp_path / "tagger.onnx")
    deployed = load(tmp_path / "tagger.onnx")
    assert isinstance(deployed, DeployedTagger)
    expected = decoded(model, sentences())
    assert sum(map(len, expected)) > 10
    assert [deployed.spans(one) for one in sentences()] == expected
    assert deployed.tags([]) == []
    with pytest.raises(CellzooError, match=r"'Ada is' is a text; expected the list of its tokens"):
        deployed.tags("Ada is")
    with pytest.raises(CellzooError, match="token 1 is ''; expected a text of at least one character"):
        deployed.spans(["Ada", ""])
    with pytest.raises(CellzooError, match="token 0 is 3; expected"):
        deployed.tags([3, "Ada"])
    assert deployed.tags(np.array(sentences()[0])) == deployed.tags(sentences()[0])


def test_pretrained_words_are_looked_up_as_flair_does(tmp_path):
    """As they are, in lower case, with # or 0 for digits, and unknown ones as zeros."""
    generator = torch.Generator().manual_seed(0)
    words = ("ada", "Ada", "paris", "####", "00", "near", "<x>")
    frozen = FrozenEmbeddings(word_embeddings(WordVectors(words, torch.randn(7, 6, generator=generator), 7)))
    stack = StackedEmbeddings([characters(TRAIN, 3, 2), frozen])
    model = CellTagger(stack, type_dictionary(TRAIN), "ner", rnn_type="cell:lstm", hidden_size=8)
    with torch.no_grad():
        model.linear.weight.mul_(20)
    export_tagger(model, tmp_path / "tagger.onnx")
    tokens = [["Ada", "ADA", "ada", "Paris", "1999", "42", "near", "Near", "never"]]
    assert [load(tmp_path / "tagger.onnx").spans(one) for one in tokens] == decoded(model, tokens)
    described = json.loads(onnx.load(tmp_path / "tagger.onnx").metadata_props[-1].value)
    by_kind = {one["kind"]: one for one in described["inputs"]}
    assert by_kind["words"]["items"] == list(words)
    assert by_kind["words"]["forms"] == ["exact", "lower", "hash", "zero"]


def test_stacks_within_stacks(tmp_path):
    """The frozen inner stack is not the first part of the outer one."""
    first = trained_words(TRAIN, 5, 1)
    first.name = "a"
    inner = FrozenEmbeddings(StackedEmbeddings([characters(TRAIN, 3, 2), trained_words(TRAIN, 4, 1)]))
    inner.name = "b"
    stack = StackedEmbeddings([first, inner], overwrite_names=False)
    model = CellTagger(stack, type_dictionary(TRAIN), "ner", rnn_type="cell:lstm", hidden_size=8)
    export_tagger(model, tmp_path / "tagger.onnx")
    assert [load(tmp_path / "tagger.onnx").spans(one) for one in sentences()] == decoded(model, sentences())


@pytest.mark.parametrize("pooling", ["max", "mean", "last"])
@pytest.mark.parametrize(("attends", "both"), [(True, True), (False, False)])
def test_classifier_of_pairs(pooling, attends, both, tmp_path):
    corpus = write_pairs(tmp_path, 30, 12)
    settings = ClassificationSettings(
        corpus=corpus,
        hidden_size=6,
        word_size=5,
        mlp_size=7,
        pooling=pooling,
        cross_attention=attends,
        bidirectional=both,
    )
    made = CLASSIFICATION.build({corpus: find(corpus)}, settings, torch.device("cpu"))
    rnn = cellzoo.rnn("darts-v2", 5, 6, bidirectional=both)
    model = made.model(rnn, torch.Generator().manual_seed(1))
    items = made.evaluate(model, "test").items
    path = tmp_path / "x.classifier.safetensors"
    CLASSIFICATION.keeps.write(made, model, path)
    export_classifier(read_classifier(path), tmp_path / "classifier.onnx")
    deployed = load(tmp_path / "classifier.onnx")
    assert isinstance(deployed, DeployedClassifier)
    rows = made.corpus.splits["test"]
    texts = [(" ".join(row.first), " ".join(row.second)) for row in rows]
    labels = made.corpus.table.labels
    assert [deployed.label(*pair) for pair in texts] == [labels[item["prediction"]] for item in items]
    examples = made._encode(rows)
    expected = model.eval()(examples.texts)
    for pair, one in zip(texts, expected, strict=True):
        assert torch.from_numpy(deployed.scores(*pair)).sub(one).abs().max() < 1e-5
    with pytest.raises(CellzooError, match="reads pairs of texts"):
        deployed.scores("one text")


@pytest.mark.parametrize("scored", [False, True])
def test_classifier_of_single_texts_and_scores(scored, tmp_path):
    """A class of one text, and a score of a pair; words that have no vector are one word."""
    corpus = write_pairs(tmp_path, 30, 12)
    described = Path(corpus).read_text()
    if scored:
        for split in ("train", "dev"):
            file = tmp_path / f"{split}.tsv"
            file.write_text(file.read_text().replace("\tyes", "\t4.5").replace("\tno", "\t0.5"))
        described = described.replace('labels = ["yes", "no"]\n', "").replace('"accuracy", "f1"', '"pearson"')
    else:
        described = described.replace('second = "sentence"\n', "")
    Path(corpus).write_text(described)
    settings = ClassificationSettings(corpus=corpus, hidden_size=6, word_size=5, mlp_size=7, word_min_count=3)
    made = CLASSIFICATION.build({corpus: find(corpus)}, settings, torch.device("cpu"))
    model = made.model(cellzoo.rnn("gru", 5, 6, bidirectional=True), torch.Generator().manual_seed(1))
    CLASSIFICATION.keeps.write(made, model, tmp_path / "x.classifier.safetensors")
    saved = read_classifier(tmp_path / "x.classifier.safetensors")
    export_classifier(saved, tmp_path / "classifier.onnx")
    deployed = load(tmp_path / "classifier.onnx")
    predicted = [item["prediction"] for item in made.evaluate(model, "test").items]
    texts = [[" ".join(row.first), " ".join(row.second)][: 1 + scored] for row in made.corpus.splits["test"]]
    found = [deployed.label(*text) for text in texts]
    if scored:
        assert found == pytest.approx(predicted, abs=1e-5)
    else:
        assert found == [("yes", "no")[number] for number in predicted]
        with pytest.raises(CellzooError, match="reads single texts"):
            deployed.scores("a", "b")
    both = [deployed.scores(*["never seen"] * (1 + scored)), deployed.scores(*["qq zz"] * (1 + scored))]
    assert (both[0] == both[1]).all()


def test_what_cannot_be_deployed(tmp_path):
    model = CellTagger(features(), type_dictionary(TRAIN), "ner", rnn_type="LSTM", hidden_size=4)
    with pytest.raises(CellzooError, match=r"only taggers around a cell.*rnn_type='cell:lstm'"):
        export_tagger(model, tmp_path / "tagger.onnx")
    to_onnx(cellzoo.rnn("lstm", 3, 4), tmp_path / "step.onnx")
    with pytest.raises(DataError, match=r"step\.onnx: is not a whole model"):
        load(tmp_path / "step.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"no")
    with pytest.raises(DataError, match=r"broken\.onnx: is not a whole ONNX file"):
        load(tmp_path / "broken.onnx")
    with pytest.raises(DataError, match=r"gone\.onnx: is not there"):
        load(tmp_path / "gone.onnx")


SMALL = {"epochs": 1, "hidden_size": 8, "train_sentences": 30, "word_size": 6, "batch_size": 8}


def test_what_a_run_has_left(tmp_path, capsys):
    """A record without model is run again for it; the command finds the model by the record."""
    out = tmp_path / "out"
    go = partial(run_suite, "small-ner", ["lstm"], out=out, executor="serial", device="cpu", settings=SMALL)
    first = go()
    (record,) = (out / "records").glob("*0--*[0-9a-f].json")
    with pytest.raises(DataError, match=r"holds no model of small-ner lstm seed 0.*--keep-models"):
        find_model(record)
    again = go(keep_models=True)
    assert again.records == first.records
    latency = again.records[0].timing.latency
    assert 0 < latency.median_ms <= latency.p95_ms < 1000
    assert latency.items >= 10
    assert any("not its model" in note for note in again.notes)
    assert not go(keep_models=True).made
    flair, said = logging.getLogger("flair"), logging.handlers.BufferingHandler(capacity=100)
    flair.addHandler(said)
    assert main(["export", str(record), "--out", str(tmp_path / "m.onnx")]) == 0
    flair.removeHandler(said)
    assert not said.buffer, "Flair logs the whole vocabulary"
    assert "m.onnx: " in capsys.readouterr().out
    model = CellTagger.load_safely(find_model(record))
    assert [load(tmp_path / "m.onnx").spans(one) for one in sentences()] == decoded(model, sentences())


def test_models_that_are_not_kept(tmp_path):
    (tmp_path / "lm.pt").write_bytes(b"")
    settings = {"features": f"flair:{tmp_path / 'lm.pt'}"}
    task = build_task(find_source("small-ner"))
    assert task.keeps(configure(task.settings, {}, "x")) == "tagger.safetensors"
    assert task.keeps(configure(task.settings, settings, "x")) == ""

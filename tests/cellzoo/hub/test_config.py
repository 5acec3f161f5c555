"""CellConfig: the cell travels as a graph; strangers' text does no harm; Auto classes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

import cellzoo
from cellzoo.errors import CellError, UnknownNameError
from cellzoo.hub import (
    CellConfig,
    CellForCausalLM,
    CellForSequenceClassification,
    CellForTokenClassification,
    CellModel,
)


def test_a_saved_cell_does_not_depend_on_the_catalog(tmp_path, monkeypatch):
    cell = cellzoo.load("nao")
    CellConfig(cell="nao").save_pretrained(tmp_path)

    def gone(name):
        raise AssertionError(f"the catalog was asked for {name}")

    monkeypatch.setattr("cellzoo.hub.config.load", gone)
    found = AutoConfig.from_pretrained(tmp_path)
    assert isinstance(found, CellConfig)
    assert found.to_cell() == cell
    assert found.to_cell().name == "nao"
    assert found.to_cell().hash == cell.hash


def test_a_cell_is_given_by_name_as_itself_as_json_or_as_a_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\nnotation = "equations"\ngenotype = "h\' = tanh(linear(x, h))"\n')
    cell = cellzoo.load(path)
    for given in (cell, cell.to_json(), path):
        assert CellConfig(cell=given).to_cell() == cell
    assert CellConfig(cell="random-darts-3").to_cell() == cellzoo.load("random-darts-3")


def test_everything_that_decides_the_result_is_saved_though_it_is_the_default(tmp_path):
    CellConfig(cell="lstm").save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert {
        "cell",
        "vocab_size",
        "embedding_size",
        "hidden_size",
        "num_hidden_layers",
        "bidirectional",
        "bias",
        "pooling",
        "tie_word_embeddings",
        "dropout_h",
    } <= saved.keys()


def test_settings_come_back(tmp_path):
    given = CellConfig(
        cell="gru",
        embedding_size=5,
        bidirectional=True,
        bias=False,
        dropout_x=0.25,
        pooling="max",
        num_labels=3,
    )
    given.save_pretrained(tmp_path)
    found = CellConfig.from_pretrained(tmp_path, dropout_h=0.5)
    assert (found.embedding_size, found.bidirectional, found.bias, found.pooling) == (5, True, False, "max")
    assert (found.dropout_x, found.dropout_h, found.num_labels, found.output_size) == (0.25, 0.5, 3, 512)


@pytest.mark.parametrize("text", ["../secret.toml", "secret.toml", "/etc/hostname", "", "a b", ["lstm"], 7])
def test_text_of_a_stranger_never_becomes_a_path(text, tmp_path, monkeypatch):
    (tmp_path / "secret.toml").write_text('name = "secret"\nnotation = "darts"\ngenotype = "x"\n')
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    with pytest.raises(CellError, match=r"expected a name of the catalog, a Cell, a pathlib\.Path"):
        CellConfig(cell=text)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, ValueError, "cell is missing"),
        ({"cell": "lstmm"}, UnknownNameError, "Did you mean 'lstm'"),
        ({"cell": '{"cell_version": 1}'}, CellError, "missing or malformed field"),
        ({"cell": "{"}, CellError, "not readable"),
        ({"cell": "lstm", "vocab_size": 0}, ValueError, "vocab_size is 0; expected a number from 1"),
        ({"cell": "lstm", "embedding_size": "big"}, ValueError, "embedding_size is 'big'"),
        ({"cell": "lstm", "num_hidden_layers": -1}, ValueError, "num_hidden_layers is -1"),
        ({"cell": "lstm", "vocab_size": True}, ValueError, "vocab_size is True"),
        ({"cell": "lstm", "num_hidden_layers": 10**9}, ValueError, "1000000000; expected at most 1000"),
        ({"cell": "lstm", "hidden_size": 2**63}, ValueError, "expected a number from 1 to 2147483647"),
        ({"cell": "lstm", "vocab_size": 10**30}, ValueError, "vocab_size is 1000000"),
        ({"cell": "lstm", "embedding_size": 2**31}, ValueError, "embedding_size is 2147483648"),
        ({"cell": "lstm", "initializer_range": 10**400}, ValueError, "initializer_range is 1000"),
        ({"cell": "lstm", "bias": "no"}, ValueError, "bias is 'no'; expected true or false"),
        ({"cell": "lstm", "bidirectional": 2}, ValueError, "bidirectional is 2; expected true or false"),
        ({"cell": "lstm", "initializer_range": "a"}, ValueError, "initializer_range is 'a'"),
        ({"cell": "lstm", "initializer_range": float("nan")}, ValueError, "initializer_range is nan"),
        ({"cell": "lstm", "dropout_h": 1.5}, ValueError, "dropout_h is 1.5; expected a probability"),
        (
            {"cell": "lstm", "pooling": "first"},
            ValueError,
            "pooling is 'first'; expected one of last, mean, max",
        ),
    ],
)
def test_what_is_out_of_range_is_said(options, error, message):
    with pytest.raises(error, match=message):
        CellConfig(**options)


@pytest.mark.parametrize(
    ("auto", "model_class"),
    [
        (AutoModel, CellModel),
        (AutoModelForCausalLM, CellForCausalLM),
        (AutoModelForSequenceClassification, CellForSequenceClassification),
        (AutoModelForTokenClassification, CellForTokenClassification),
    ],
)
def test_auto_classes(auto, model_class, tmp_path):
    config = AutoConfig.for_model("cellzoo", cell="rnn", vocab_size=5, hidden_size=3)
    model = auto.from_config(config)
    assert type(model) is model_class
    model.save_pretrained(tmp_path)
    assert type(auto.from_pretrained(tmp_path)) is model_class


def test_without_transformers_the_extra_is_named():
    code = (
        "import cellzoo.system.extras as extras\n"
        "extras.find_spec = lambda name: None\n"
        "try:\n"
        "    import cellzoo.hub\n"
        "except extras.MissingDependencyError as error:\n"
        "    print(error)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "'transformers' is not installed; it comes with: pip install 'cellzoo[hub]'" in found.stdout


def test_cellzoo_alone_imports_neither_transformers_nor_onnx():
    code = (
        "import sys, cellzoo, cellzoo.layer\n"
        "print([name for name in ('transformers', 'onnx', 'onnxruntime') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_embeddings_follow_the_hidden_size_until_they_have_one_of_their_own(tmp_path):
    plain = CellConfig(cell="lstm", hidden_size=12)
    assert plain.embedding_size == 12
    plain.hidden_size = 8
    assert plain.embedding_size == 8
    CellForCausalLM(plain).save_pretrained(tmp_path)
    again = CellConfig.from_pretrained(tmp_path, hidden_size=5)
    assert (again.hidden_size, again.embedding_size) == (5, 5)
    assert CellForCausalLM(again).lm_head.weight.shape == CellForCausalLM(again).model.embed_tokens.weight.shape
    again.embedding_size = 7
    assert CellConfig.from_dict(again.to_dict()).embedding_size == 7
    again.hidden_size = 9
    assert again.embedding_size == 7
    assert CellConfig(cell="lstm", hidden_size=12, embedding_size=None) == CellConfig(
        cell="lstm", hidden_size=12
    )

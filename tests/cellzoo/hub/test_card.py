"""Model cards: read back by huggingface_hub's own reader; nothing that stands in a record escapes."""

from __future__ import annotations

import copy

import pytest
import torch
import yaml
from board_records import record
from hub_models import config
from huggingface_hub import ModelCard

import cellzoo
from cellzoo.errors import CellzooError, OutputError, RecordError
from cellzoo.hub import CellConfig, CellForTokenClassification, model_card, save_model_card
from tasks.runs.record import RunRecord

NASTY = "a|b `c` <script>alert(1)</script> [x](y) ``` # *d*\n- e: $f$ &lt; \\ 'g' \"h\" é\u2028i"


def record_of(cell, **changes):
    """A sound record of the model's cell."""
    content = record(cell.name or "cell", **changes)
    content["cell"]["hash"] = cell.hash
    return content


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    CellForTokenClassification(config("lstm", num_labels=3)).save_pretrained(tmp_path)
    return tmp_path


def test_the_hub_reads_the_results(saved):
    content = record_of(cellzoo.load("lstm"), seed=7, metrics={"f1": 71.25, "accuracy": 95.0})
    RunRecord.model_validate(content)
    path = save_model_card(saved, content, licence="mit")
    assert path == saved / "README.md"
    card = ModelCard.load(path)
    assert card.data.library_name == "transformers"
    assert card.data.pipeline_tag == "token-classification"
    assert card.data.license == "mit"
    assert [(row.metric_type, row.metric_value) for row in card.data.eval_results] == [
        ("f1", 71.25),
        ("accuracy", 95.0),
    ]
    assert {row.task_type for row in card.data.eval_results} == {"token-classification"}
    assert {row.dataset_name for row in card.data.eval_results} == {"corpus"}


def test_the_text_says_where_the_cell_and_the_numbers_come_from(saved):
    cell = cellzoo.load("lstm")
    text = save_model_card(saved, record_of(cell, seed=7, metrics={"f1": 71.25})).read_text()
    found = cellzoo.entry("lstm")
    for part in (
        "# lstm: Title of small-ner",
        "| title of f1 | 71.25 | 7 |",
        "| epochs | 4 |",
        "| data corpus | generated |",
        f"| hash | {cell.hash} |",
        "AutoModelForTokenClassification.from_pretrained",
        found.genotype.strip(),
        "| bidirectional | False |",
        "| run key | ",
    ):
        assert part in text
    assert "c' = " in text
    assert found.source.startswith("Hochreiter & Schmidhuber")
    assert r"| source | Hochreiter & Schmidhuber" in text


def test_the_code_in_the_card_runs(saved):
    text = save_model_card(saved).read_text()
    code = text.split("```python\n")[1].split("```")[0].replace("path/to/this/folder", str(saved))
    names = {}
    exec(code, names)  # noqa: S102 - the card's own example
    assert type(names["model"]) is CellForTokenClassification


def test_a_card_without_a_record_has_no_results():
    text = model_card(config("lstm"))
    assert "## Results" not in text
    assert "model-index" not in yaml.safe_load(text.split("---\n")[1])
    assert "AutoModel.from_pretrained" in text


def test_a_cell_of_ones_own_has_no_provenance(tmp_path):
    """A name of the zoo on another graph, or a path for a name, must not borrow what is there."""
    (tmp_path / "file.toml").write_text('name = "file"\nnotation = "darts"\ngenotype = "not read"\n')
    for name in ("lstm", str(tmp_path / "file.toml"), "", "no-such-cell"):
        cell = cellzoo.parse("h' = tanh(linear(x, h) + h)", "equations", name)
        text = model_card(
            config(cell), record_of(cellzoo.Cell(cell.states, cell.nodes, cell.output, name="own"))
        )
        assert "| source |" not in text
        assert "In the notation" not in text
        assert cell.hash in text


def test_nothing_in_a_record_breaks_out():
    cell = cellzoo.parse("h' = tanh(linear(x, h))", "equations", NASTY)
    content = record_of(cellzoo.load("lstm"), configuration={NASTY: {"inner": NASTY}})
    content["cell"]["hash"] = cell.hash
    content["task"]["title"] = content["task"]["name"] = content["cell"]["name"] = NASTY
    content["metrics"] = {NASTY: content["metrics"]["f1"] | {"title": NASTY}}
    content["data"] = {NASTY: {"origin": NASTY}}
    text = model_card(config(cell), content, title=NASTY, licence=NASTY)
    head = yaml.safe_load(text.split("---\n")[1])
    assert head["license"] == NASTY
    (result,) = head["model-index"][0]["results"]
    assert result["task"]["name"] == result["dataset"]["name"] == result["metrics"][0]["type"] == NASTY
    body = text.split("---\n", 2)[2]
    assert "<script>" not in body.replace("\\<script", "")
    for line in body.splitlines():
        if line.startswith("|"):
            cells = line.replace("\\\\", "").replace("\\|", "").strip("|").split("|")
            assert len(cells) in (2, 3)
    assert not [line for line in body.splitlines() if line.lstrip().startswith("- e")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.clear(), "the record has no 'task'"),
        (lambda content: content.pop("metrics"), "the record has no 'metrics'"),
        (lambda content: content["task"].pop("title"), r"has no 'task\.title'"),
        (lambda content: content.update(seed="one"), "seed is 'one'; expected a whole number"),
        (
            lambda content: content["metrics"]["f1"].update(value="high"),
            r"f1\.value is 'high'; expected a number",
        ),
        (lambda content: content.update(metrics=[1]), r"metrics is \[1\]; expected a table"),
        (lambda content: content.update(configuration=3), "configuration is 3; expected a table"),
        (
            lambda content: content["cell"].update(hash="0" * 64),
            "is of the cell 'gru' .*; the model's cell is 'lstm'",
        ),
        (lambda content: content["cell"].update(hash=None), "the model's cell is 'lstm'"),
    ],
)
def test_a_record_that_does_not_fit_is_said(change, message):
    content = copy.deepcopy(record_of(cellzoo.load("lstm")))
    content["cell"]["name"] = "gru"
    change(content)
    with pytest.raises(RecordError, match=message):
        model_card(config("lstm"), content)


def test_a_folder_that_holds_no_model_is_said(tmp_path, saved):
    with pytest.raises(
        CellzooError, match=r"has no config\.json; expected a folder that save_pretrained wrote"
    ):
        save_model_card(tmp_path / "nothing")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(CellzooError, match="model_type is 'bert'; expected 'cellzoo'"):
        save_model_card(tmp_path)


def test_a_card_that_cannot_be_written(saved):
    (saved / "README.md").mkdir()
    with pytest.raises(OutputError, match=r"README\.md: cannot be written"):
        save_model_card(saved)


@pytest.mark.parametrize("value", [10**400, -(10**5000)], ids=["400 digits", "5000 digits"])
@pytest.mark.parametrize("field", ["value", "digits"])
def test_a_number_beyond_any_machine_is_refused(saved, value, field):
    content = record_of(CellConfig.from_pretrained(saved).to_cell())
    name = next(iter(content["metrics"]))
    content["metrics"][name][field] = value
    with pytest.raises(RecordError, match=f"metrics.{name}.{field} is beyond 64 bits"):
        save_model_card(saved, content, title="t")


def test_lone_surrogates_and_escape_sequences_do_not_reach_the_file(saved):
    content = record_of(CellConfig.from_pretrained(saved).to_cell())
    content["task"]["title"] = "a\ud800b\x1b[31m"
    text = save_model_card(saved, content, title="t\udfff").read_text(encoding="utf-8")
    assert "\x1b" not in text
    assert "a\ufffdb\ufffd" in text
    assert "# t\ufffd" in text

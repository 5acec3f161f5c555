from __future__ import annotations

import calendar
import csv
import io
import json

import pytest
from board_records import record

from leaderboards.build import build_board
from leaderboards.collect import Collection
from leaderboards.exports.plain import board_data, render_json
from leaderboards.exports.plots import plot_files
from leaderboards.exports.shared import (
    every_eval_ever,
    render_eval_results,
    render_model_index,
    render_signatures,
)
from leaderboards.exports.tables import parquet_bytes, render_csv, render_latex
from leaderboards.published import published_tables
from leaderboards.render.grid import task_grid
from leaderboards.render.html import render_html
from leaderboards.render.markdown import render_markdown
from tasks.runs.record import RunRecord


def board_of(*contents):
    return build_board(Collection(tuple(map(RunRecord.model_validate, contents)), (), 0), "A board")


def wnut(**options):
    cells = {"lstm": [40.0, 41.0, 42.5], "gru": [44.0, 43.0, 44.5], "enas": [39.0]}
    return board_of(
        *(
            record(cell, seed, task="wnut17", metrics={"f1": value, "recall": value / 2}, **options)
            for cell, values in cells.items()
            for seed, value in enumerate(values)
        )
    )


def test_json_holds_the_numbers():
    board = wnut()
    (table,) = json.loads(render_json(board))["tables"]
    by_cell = {row["cell"]: row for row in table["rows"]}
    assert by_cell["gru"]["metrics"]["f1"]["values"] == [44.0, 43.0, 44.5]
    assert by_cell["enas"]["rank"] is None
    assert table["control"] == "lstm"
    assert len(table["reported"]) == 5
    assert render_json(board) == render_json(wnut())


def test_csv_reads_back():
    lines = list(csv.DictReader(io.StringIO(render_csv(wnut()))))
    assert len(lines) == 3 * 2 + 5
    gru = next(line for line in lines if (line["cell"], line["metric"]) == ("gru", "f1"))
    assert float(gru["mean"]) == pytest.approx(131.5 / 3)
    assert (gru["rank_first"], gru["seeds"], gru["kind"]) == ("1", "3", "cell")
    assert [line["kind"] for line in lines[-5:]] == ["reported"] * 5


def test_a_spreadsheet_gets_no_formula():
    text = render_csv(wnut(title='=HYPERLINK("x")'))
    assert all(line["title"].startswith("'=") for line in csv.DictReader(io.StringIO(text)) if line["mean"])


def test_latex_escapes_what_is_special():
    text = render_latex(wnut(title="50 % of A&B_c \\input{x} ~ ^ # $ {"))
    body = text.split("\n", 1)[1]
    assert r"\textbackslash" not in body.split(r"\toprule")[0]
    assert body.count("{") == body.count("}")
    assert r"44.50" not in body
    assert r"43.83 $\pm$ 0.76" in body
    assert "ESS + Flair (reported)" in body


def test_parquet_reads_back():
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(io.BytesIO(parquet_bytes(wnut())))
    assert table.num_rows == 11
    assert table.column("mean").to_pylist()[0] == pytest.approx(
        board_data(wnut())["tables"][0]["rows"][0]["metrics"]["f1"]["mean"]
    )


def test_documents_for_every_eval_ever_hold_what_its_schema_requires():
    documents = list(every_eval_ever(wnut()))
    assert len(documents) == 3
    for document in documents:
        assert set(document) == {
            *("schema_version", "evaluation_id", "retrieved_timestamp", "source_metadata"),
            *("model_info", "eval_library", "evaluation_results"),
        }
        assert document["retrieved_timestamp"] == str(calendar.timegm((2026, 1, 2, 3, 4, 5)))
        assert all(isinstance(v, str) for v in document["model_info"]["additional_details"].values())
        f1, _ = document["evaluation_results"]
        assert f1["metric_config"]["lower_is_better"] is False
    (lstm,) = [d for d in documents if d["model_info"]["name"] == "lstm"]
    score = lstm["evaluation_results"][0]["score_details"]
    assert score["score"] == pytest.approx(123.5 / 3)
    assert score["uncertainty"]["num_samples"] == 3


def test_a_signature_changes_with_what_decides_the_number():
    def signatures(**options):
        return render_signatures(board_of(record("lstm", 0, **options))).strip()

    first = signatures()
    assert first == signatures(package="2.14.0")
    assert " small-ner:r1|settings:" in first
    others = [
        signatures(revision=2),
        signatures(hash_of="gru"),
        signatures(configuration={"epochs": 9}),
        signatures(data={"test": "e" * 64}),
    ]
    assert len({first, *others}) == 5


def test_a_model_index_is_yaml():
    yaml = pytest.importorskip("yaml")
    documents = list(yaml.safe_load_all(render_model_index(wnut())))
    names = [document["model-index"][0]["name"] for document in documents]
    assert sorted(names) == ["enas", "gru", "lstm"]
    assert documents[0]["model-index"][0]["results"][0]["metrics"][0]["type"] == "f1"


def test_results_for_the_hub_are_what_it_documents():
    yaml = pytest.importorskip("yaml")
    board = wnut(corpus="wnut17")
    files = {name: yaml.safe_load(content) for name, content in render_eval_results(board).items()}
    assert sorted(files) == ["enas.yaml", "gru.yaml", "lstm.yaml"]
    for entries in files.values():
        for entry in entries:
            assert set(entry) == {"dataset", "value", "date", "notes"}
            assert entry["dataset"].keys() == {"id", "revision", "task_id"}
            assert entry["dataset"]["id"] == "leondz/wnut_17"
            assert entry["date"] == "2026-01-02"
    assert files["gru.yaml"][0]["value"] == pytest.approx(131.5 / 3)
    assert files["gru.yaml"][0]["dataset"]["task_id"] == "wnut17-f1"
    assert render_eval_results(wnut()) == {}, "data that the hub does not have"


def test_plots_are_files_of_their_kind_and_the_same_again():
    board = wnut(title="50 % of $A_b$")
    files = plot_files(board)
    assert {"wnut17-r1-results.pdf", "wnut17-r1-results.png"} <= files.keys()
    for name, content in files.items():
        assert content.startswith(b"%PDF-" if name.endswith("pdf") else b"\x89PNG")
    assert files == plot_files(board)


def test_plots_of_every_kind(tmp_path):
    costs = {"lstm": 1000, "gru": 750, "enas": 3000, "nao": 500, "janet": 400}
    board = board_of(
        *(
            record(
                cell,
                seed,
                task=task,
                metrics={"f1": count / 100 + seed},
                parameters=(count, count, count),
                history=[{"epoch": n, "dev": {"f1": float(n)}} for n in (1, 2)],
            )
            for task in ("wnut17", "small-ner")
            for cell, count in costs.items()
            for seed in range(3)
        )
    )
    names = {name.removesuffix(".png") for name in plot_files(board) if name.endswith("png")}
    of_task = {"results", "parameters", "curves"}
    assert names == {f"{task}-r1-{kind}" for task in ("wnut17", "small-ner") for kind in of_task} | {
        "wnut17-r1-against-small-ner-r1"
    }


def test_published_tables_are_sound_and_odd_numbers_are_marked():
    tables = published_tables()
    assert len(tables) >= 10
    for table in tables.values():
        for row in table.rows:
            assert row.source in table.sources
    ptb = {row.name: row for row in tables["ptb"].rows}
    assert ptb["ESS, joint"].values == {"valid": 47.9, "test": 45.6}
    assert ptb["ENAS (released code)"].search_days == 0.5
    glue = {row.name: row for row in tables["glue-test"].rows}
    assert (glue["LSTM"].values["mrpc_f1"], glue["FENAS"].values["mrpc_f1"]) == (78.9, 78.9)
    assert "identical for LSTM and FENAS" in glue["FENAS"].mark
    assert all("majority" in row.mark for row in tables["glue-test"].rows)


def test_cells_that_share_a_name_have_files_of_their_own():
    board = board_of(
        *(
            record(name, seed, task="wnut17", corpus="wnut17", hash_of=of)
            for seed, (name, of) in enumerate((("a", "one"), ("b", "one"), ("a", "two")))
        )
    )
    assert {subject.name for subject in board.subjects} == {"a", "a = b"}
    assert len(render_eval_results(board)) == 2


def test_the_primary_metric_stands_in_its_column_whatever_the_titles():
    contents = [record(cell, task="wnut17", metrics={"f1": 12.5, "dev_f1": 70.25}) for cell in ("lstm", "gru")]
    for content in contents:
        for metric in content["metrics"].values():
            metric["title"] = "R"
    board = board_of(*contents)
    lines = [line for line in render_latex(board).splitlines() if line.startswith("lstm")]
    assert "12.50" in lines[0]
    reported = [row for row in task_grid(board.tables[0]).rows if row.subject is None]
    assert reported
    assert all(row.cells[3].value is None for row in reported), "a paper's test F1 is not its dev F1"


@pytest.mark.parametrize(("metric", "values"), [("score", [1e308, 1.7e308, -1e308]), ("perplexity", [1.7e308])])
def test_diverged_runs_are_shown_in_every_format(metric, values):
    board = board_of(
        *(record("gru", seed, metrics={metric: value}) for seed, value in enumerate(values)),
        *(record("lstm", seed, metrics={metric: 2.0 + seed}) for seed in range(3)),
    )
    assert "gru" in render_html(board)
    assert "gru" in render_markdown(board, "board.svg")
    (table,) = json.loads(render_json(board))["tables"]
    assert {row["cell"] for row in table["rows"]} == {"gru", "lstm"}
    assert "null" not in render_model_index(board)
    assert plot_files(board)

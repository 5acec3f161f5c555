"""What `cellzoo show NAME --results` says of a cell: counted from records, beside the other cells."""

from __future__ import annotations

import re

import board_records
import pytest
from scipy import stats

import cellzoo
from cellzoo.cli.main import main
from leaderboards.worth import worth_trying
from tasks.runs.record import RunRecord
from tasks.runs.record_file import encode_record

SCORES = {"lstm": (60.0, 62.0, 64.0), "gru": (66.0, 66.5, 67.0), "rnn": (50.0,)}


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(board_records, "cell_hash", lambda name: cellzoo.load(name).hash)
    (tmp_path / "records").mkdir()
    for name, scores in SCORES.items():
        for seed, score in enumerate(scores):
            content = board_records.record(name, seed=seed, metrics={"score": score})
            path = tmp_path / "records" / f"{name}-{seed}.json"
            path.write_bytes(encode_record(RunRecord.model_validate(content)))
    return tmp_path


def test_mean_interval_rank_and_the_lstm_beside_it(results):
    line, signed = worth_trying(cellzoo.load("gru"), [results])
    half = stats.t.ppf(0.975, 2) * 0.5 / 3**0.5
    ends = f"{66.5 - half:.2f} to {66.5 + half:.2f}"
    assert f"66.50 (95 % interval {ends}, 3 seeds)" in line
    assert "rank 1 of 3 cells" in line
    assert "lstm 62" in line
    assert re.fullmatch(
        r"  small-ner:r1\|settings:.*\|cell:gru@[0-9a-f]{8}\|seeds:0,1,2\|cellzoo:0.1.0", signed
    )


def test_one_seed_has_no_interval_and_an_unknown_cell_no_number(results):
    line, _ = worth_trying(cellzoo.load("rnn"), [results])
    assert "(1 seed)" in line
    assert "rank 3 of 3 cells" in line
    assert list(worth_trying(cellzoo.load("mgu"), [results])) == ["no record of this cell in what was given"]


def test_a_perplexity_has_the_mean_of_the_board_and_confirmations_do_not_count(tmp_path, monkeypatch):
    monkeypatch.setattr(board_records, "cell_hash", lambda name: cellzoo.load(name).hash)
    contents = [
        board_records.record("gru", seed, metrics={"perplexity": value}, higher=False)
        for seed, value in enumerate((100.0, 400.0, 900.0))
    ]
    contents[2]["purpose"] = "confirmation"
    board_records.write(tmp_path, *contents)
    line, _ = worth_trying(cellzoo.load("gru"), [tmp_path])
    assert "title of perplexity 200.00 (95 % interval" in line
    assert "2 seeds" in line


def test_show_prints_it(results, capsys):
    assert main(["show", "gru", "--results", str(results)]) == 0
    out = capsys.readouterr().out
    assert "results in the records given" in out
    assert "rank 1 of 3 cells" in " ".join(out.split())

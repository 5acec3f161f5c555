"""Failed runs are kept, shown, tried again, and forgotten once they have a record."""

from __future__ import annotations

import json

import pytest

from cellzoo.cli.main import main
from leaderboards.build import build_board
from leaderboards.collect import collect
from leaderboards.render.markdown import render_markdown
from tasks.runs import run_suite
from tasks.runs.failed import FailureStore


def go(out, **settings):
    return run_suite(
        "fake_task:Fake",
        ("lstm", "gru"),
        3,
        out=out,
        executor="serial",
        device="cpu",
        settings={"fault": "input", "victim": "gru-1", **settings},
    )


@pytest.fixture
def failing(tmp_path):
    report = go(tmp_path)
    assert len(report.failures) == 1
    return tmp_path, report.failures[0]


def test_a_failure_is_kept_with_what_was_run(failing):
    out, failure = failing
    (kept,) = FailureStore(out).read()
    assert (kept.key, kept.cell.name, kept.seed) == (failure.job.key, "gru", 1)
    assert kept.message == "corpus.txt: line 3: wrong" == failure.message
    assert kept.configuration == failure.job.settings


def test_a_board_says_which_runs_are_missing_and_why(failing):
    out, _ = failing
    board = build_board(collect([out]), "Board")
    (table,) = board.tables
    assert [(one.cell.name, one.seed) for one in table.failed] == [("gru", 1)]
    assert "Failed, so not in the means: gru, seed 1: corpus.txt: line 3: wrong" in render_markdown(board, "x")


def test_the_same_command_tries_again_and_a_record_ends_the_failure(failing, capsys, monkeypatch):
    out, failure = failing
    arguments = ["--cells", "lstm,gru", "--seeds", "3", "--set", "fault=input", "--set", "victim=gru-1"]
    assert main(["run", "fake_task:Fake", *arguments, "--out", str(out), "--dry-run"]) == 0
    assert "to do   fake gru seed 1 (failed before: corpus.txt: line 3: wrong)" in capsys.readouterr().out
    monkeypatch.setattr("fake_task._fail", lambda *_: None)
    report = go(out)
    assert (report.made, report.failures) == (1, ())
    assert failure.job.key in {record.key for record in report.records}
    assert list(FailureStore(out).read()) == []


def test_what_is_not_a_failure_is_passed_over(failing):
    out, failure = failing
    path = out / "failures" / f"{failure.job.stem}.json"
    content = json.loads(path.read_text())
    for number, text in enumerate(("{", "3", json.dumps({**content, "seed": 2}))):
        (out / "failures" / f"a{number}.json").write_text(text)
    assert [one.key for one in FailureStore(out).read()] == [failure.job.key]

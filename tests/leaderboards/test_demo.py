from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cellzoo.errors import OutputError, RunError
from leaderboards.demo import CELLS, COMMAND, SEEDS, demo
from tasks.suites.suite import Suite, SuiteTask, find_suite

TESTS = Path(__file__).parents[1] / "helpers"
SUITE = Suite(
    "small",
    "Two tasks that train nothing",
    (SuiteTask.find("fake_task:Fake"), SuiteTask.find("fake_task:FakeAfter")),
)
SCRIPT = """
import sys
from pathlib import Path
from leaderboards.demo import demo
from tasks.suites.suite import Suite, SuiteTask
if __name__ == "__main__":
    tasks = (SuiteTask.find("fake_task:Fake"), SuiteTask.find("fake_task:FakeAfter"))
    demo(Path(sys.argv[1]), suite=Suite("small", "Two tasks", tasks), cells=["lstm", "gru"])
    print("heavy:", [m for m in ("torch", "flair", "gensim", "transformers") if m in sys.modules])
"""


def run_script(out):
    script = out.parent / "script.py"
    script.write_text(SCRIPT)
    return subprocess.run(
        [sys.executable, script, out],
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
        env={**os.environ, "PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"},
    ).stdout


def test_a_second_time_runs_nothing_and_loads_nothing_heavy(tmp_path):
    out = tmp_path / "demo"
    first = run_script(out)
    # Two tasks, two cells, two seeds, and the second task's baseline with two seeds.
    assert "10 runs made now, 0 were there before" in first
    page = (out / "board.html").read_bytes()
    second = run_script(out)
    assert "0 runs made now, 10 were there before" in second
    assert "heavy: []" in second
    assert (out / "board.html").read_bytes() == page
    for text in (first, second):
        assert "cells  lstm, gru" in text
        assert "| *nothing* (baseline) | — |" in text
        assert str(out / "board.html") in text


def test_what_failed_is_said_and_the_rest_is_on_the_board(tmp_path, monkeypatch, capsys):
    _serially(monkeypatch)
    broken = Suite(
        "small",
        "One cell fails",
        (SuiteTask.find("fake_task:Fake", {"fault": "input", "victim": "gru-0"}),),
    )
    with pytest.raises(RunError, match=r"corpus\.txt: line 3"):
        demo(tmp_path / "demo", suite=broken, cells=["lstm", "gru"])
    board = (tmp_path / "demo" / "board.md").read_text()
    assert "(1 seed, unranked)" in board
    assert "3 results" in board


def test_the_board_shows_this_suite_alone(tmp_path, monkeypatch, capsys):
    _serially(monkeypatch)
    out = tmp_path / "demo"
    other = Suite("small", "Before", (SuiteTask.find("fake_task:Fake", {"epochs": 3}),))
    demo(out, suite=other, cells=["lstm"], seeds=1)
    demo(out, suite=Suite("small", "Now", (SuiteTask.find("fake_task:Fake"),)), cells=["lstm"], seeds=1)
    assert "1 result, 1 cell, 1 task" in (out / "board.md").read_text()


def test_an_output_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "demo").write_text("mine")
    with pytest.raises(OutputError):
        demo(tmp_path / "demo", suite=SUITE, cells=["lstm"])
    assert (tmp_path / "demo").read_text() == "mine"


def test_the_demo_is_the_suite_of_three_tasks_that_need_no_download():
    assert [task.name for task in find_suite("demo").tasks] == ["small-ner", "news-lm", "news-similarity"]
    assert CELLS == ("lstm", "gru", "darts-v2", "idarts-v1", "random-darts-0")
    assert SEEDS == 2
    assert all(cell in COMMAND.description for cell in CELLS)


def _serially(monkeypatch):
    from functools import partial

    from tasks.runs import run

    monkeypatch.setattr(run, "run_suite", partial(run.run_suite, executor="serial", device="cpu"))

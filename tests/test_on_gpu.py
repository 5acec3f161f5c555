"""`make gpu` without a GPU: what it says here, and what it makes of its parts."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from on_gpu import NO_GPU, Part, main, parts, run, write

PYTHON = (sys.executable, "-c")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU: make gpu checks it")
def test_without_a_gpu_nothing_was_checked_and_it_says_so(tmp_path, capsys):
    assert main(["--out", str(tmp_path / "gpu")]) == NO_GPU
    assert capsys.readouterr().err == "nothing was checked: torch finds no CUDA device here\n"
    assert not (tmp_path / "gpu").exists()


@pytest.mark.parametrize(
    ("part", "state", "words"),
    [
        (Part("good", (*PYTHON, "print('fine')")), "ok", "fine"),
        (Part("bad", (*PYTHON, "raise SystemExit('wrong')")), "failed", "wrong"),
        (Part("slow", (*PYTHON, "import time; time.sleep(60)"), seconds=1.5), "too slow", ""),
        (Part("poor", (*PYTHON, "1"), ("no_such_module",)), "skipped", "needs no_such_module"),
    ],
)
def test_states_of_parts(part, state, words):
    found = run(part, time.monotonic() + 100)
    assert (found.state, found.words.strip()) == (state, words)


def test_the_time_of_all_parts_is_limited():
    assert run(Part("late", (*PYTHON, "1")), time.monotonic()).state == "skipped"


def test_files_have_every_part(tmp_path):
    found = [run(Part("poor", (), ("no_such_module",)), time.monotonic() + 100)]
    write(tmp_path, found, {"device": "Some GPU"})
    content = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert content["device"] == "Some GPU"
    assert [(part["name"], part["state"]) for part in content["parts"]] == [("poor", "skipped")]
    assert "| poor | skipped | 0 | needs no_such_module |" in (tmp_path / "gpu.md").read_text(encoding="utf-8")


def test_there_is_a_search_with_every_method(tmp_path):
    methods = {path.stem.replace("_", "-") for path in Path("search/methods").glob("*.py")}
    named = {part.name.removeprefix("search ") for part in parts(tmp_path, "cpu")}
    assert {"darts", "enas", "random-ws"} <= methods & named


def test_commands_run_without_being_installed(tmp_path):
    (bench,) = [part for part in parts(tmp_path, "cpu") if part.name == "bench"]
    found = subprocess.run([*bench.command, "--dry-run"], capture_output=True, text=True, check=True)
    assert "16 cases" in found.stdout

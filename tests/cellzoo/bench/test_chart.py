"""The chart and the tables of files of times."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from one_command import invoke

from cellzoo.bench.case import Shape
from cellzoo.bench.figures import read_figures, tables
from cellzoo.bench.run import Case, Result, TimingSettings
from cellzoo.bench.show import about_the_run, write_file

ROOT = Path(__file__).parents[3]
SPEED = ROOT / "docs" / "speed"


def spread(median):
    return {"median": median, "low": median * 0.9, "high": median * 1.25}


def candidate(name, seconds, *, flops=10, lstm=None, speedup=None):
    return {
        "name": name,
        "flops": flops,
        "seconds": [seconds],
        "median": spread(seconds),
        "ratios": {} if lstm is None else {"nn.LSTM": spread(seconds / lstm)},
        "per_flop": None if lstm is None else spread(seconds / lstm / flops * 10),
        "speedup": speedup,
    }


def case(cell, shape, candidates, *, kind="training", threads=1):
    names = ("name", "batch", "steps", "input_size", "hidden_size", "packed")
    return {
        "cell": cell,
        "shape": dict(zip(names, shape, strict=True)),
        "pass": kind,
        "dtype": "float32",
        "threads": threads,
        "load_average": 2.5,
        "candidates": candidates,
    }


SENTENCES = ("sentences", 32, 30, 256, 256, True)
CONTENT = {
    "machine": {"processor": "A <processor>", "torch_capability": "AVX512"},
    "versions": {"torch": "2.9"},
    "settings": {"clock": "CPU time"},
    "began": "2026-01-02T03:04:05",
    "cases": [
        case(
            "lstm",
            SENTENCES,
            [
                candidate("loop", 0.5, lstm=0.08),
                candidate("torch", 0.2, lstm=0.08),
                candidate("native", 0.04, lstm=0.08),
                candidate("nn.LSTM", 0.08, lstm=0.08),
            ],
        ),
        case(
            "big",
            SENTENCES,
            [candidate("native", 0.12, flops=25, lstm=0.08), candidate("nn.LSTM", 0.08, lstm=0.08)],
        ),
        case("alone", ("d", 2, 5, 3, 4, False), [candidate("native", 0.1)]),
    ],
}


PADDED = ("a", 32, 30, 128, 256, False)
MORE = {
    **CONTENT,
    "began": "2026-01-03T03:04:05",
    "cases": [
        case(
            "lstm",
            PADDED,
            [
                candidate("native", 0.03, lstm=0.04),
                candidate("native bf16", 0.01, lstm=0.04),
                candidate("nn.LSTM", 0.04, lstm=0.04),
                candidate("nn.LSTM bf16", 0.02, lstm=0.04),
                candidate("nn.LSTM autocast", 0.016, lstm=0.04),
            ],
        ),
        case(
            "indrnn",
            PADDED,
            [candidate("nn.LSTM", 0.06, lstm=0.06), candidate("torchrecurrent", 0.24, flops=5, lstm=0.06)],
        ),
        case(
            "lstm",
            PADDED,
            [
                candidate("native", 0.015, lstm=0.03, speedup=spread(2.0)),
                candidate("nn.LSTM", 0.03, lstm=0.03, speedup=spread(4 / 3)),
            ],
            threads=2,
        ),
        case(
            "big",
            SENTENCES,
            [candidate("nn.LSTM", 0.5, lstm=0.5), candidate("native", 0.2, lstm=0.5)],
            kind="tagger step",
        ),
    ],
}


@pytest.fixture
def chart(monkeypatch, capsys, tmp_path):
    """Run the command on contents; gives (exit code, output, errors, picture)."""

    def run(*contents, options=()):
        paths = [tmp_path / f"times{number}.json" for number in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        code = invoke(monkeypatch, "bench", *options, "--chart", *map(str, paths))
        output, errors = capsys.readouterr()
        return code, output, errors, paths[0].with_suffix(".svg")

    return run


def test_the_table_compares_the_fastest_engine_with_the_lstm_of_torch(chart):
    code, output, _, _ = chart(CONTENT)
    assert code == 0
    assert output.splitlines()[:5] == [
        "| 1 thread | training step, B 32, T up to 30, H 256 |",
        "|---|---:|",
        "| nn.LSTM | 80.0 ms |",
        "| lstm | 0.50 (0.45 to 0.62) |",
        "| big | 1.50 (1.35 to 1.88) |",
    ]
    assert "A <processor>, AVX512, torch 2.9, CPU time, 2026-01-02; load average 2.5 to 2.5." in output.replace(
        "\n", " "
    )


def test_files_are_joined_column_by_column_and_thread_by_thread(chart):
    """per FLOP: torchrecurrent took 4 times as long for half of the operations."""
    _, output, _, _ = chart(CONTENT, MORE)
    one, two, notes = output.strip().split("\n\n")
    padded, flop = "training step, B 32, T 30, E 128, H 256", "per FLOP"
    assert [line.strip("| ").split(" | ") for line in one.splitlines()[:1]] == [
        [
            "1 thread",
            "training step, B 32, T up to 30, H 256",
            padded,
            "tagger step, B 32, T up to 30, H 256",
            f"{padded}, {flop}",
        ]
    ]
    rows = {
        name: rest
        for name, *rest in ([part.strip() for part in line.split("|")[1:-1]] for line in one.splitlines())
    }
    assert rows["nn.LSTM"] == ["80.0 ms", "50.0 ms", "500 ms", ""]
    assert rows["nn.LSTM, bf16"] == ["", "0.40 (0.36 to 0.50)", "", "0.40 (0.36 to 0.50)"]
    assert rows["lstm"][:2] == ["0.50 (0.45 to 0.62)", "0.75 (0.68 to 0.94)"]
    assert rows["lstm, bf16"][1] == "0.25 (0.23 to 0.31)"
    assert rows["big"][2] == "0.40 (0.36 to 0.50)"
    assert rows["indrnn of torchrecurrent"] == ["", "4.00 (3.60 to 5.00)", "", "8.00 (7.20 to 10)"]
    assert two.splitlines()[2:] == [
        "| nn.LSTM |  | 30.0 ms, × 1.33 |  |  |",
        "| lstm |  | 0.50 (0.45 to 0.62), × 2.00 |  | 0.50 (0.45 to 0.62) |",
    ]
    assert "A tagger step is" in notes
    assert "2026-01-02 and 2026-01-03" in notes


def test_counts_of_threads_can_be_chosen(chart):
    _, output, _, _ = chart(CONTENT, MORE, options=("--threads", "2"))
    assert output.startswith("| 2 threads |")
    assert "1 thread |" not in output
    code, _, errors, _ = chart(CONTENT, MORE, options=("--threads", "4"))
    assert code == 3
    assert "no cell was timed beside nn.LSTM with 4 threads" in errors


def test_cells_can_be_chosen(chart):
    """The time of nn.LSTM stays the median over all cells."""
    _, output, _, _ = chart(CONTENT, options=("--cells", "b*"))
    assert output.splitlines()[2:4] == ["| nn.LSTM | 80.0 ms |", "| big | 1.50 (1.35 to 1.88) |"]
    code, _, errors, _ = chart(CONTENT, options=("--cells", "none,alone"))
    assert code == 3
    assert "no cell of none, alone was timed beside nn.LSTM" in errors


def test_the_picture_has_what_the_table_has_and_follows_the_scheme_of_the_reader(chart):
    *_, picture = chart(CONTENT, MORE)
    root = ElementTree.fromstring(picture.read_text(encoding="utf-8"))  # noqa: S314 - written here
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"lstm", "big", "0.50", "1.50", "4.00", "500 ms", "nn.LSTM = 1", "bf16"} <= set(texts)
    assert "A <processor>, AVX512, torch 2.9" in texts
    assert "alone" not in texts
    assert "prefers-color-scheme: dark" in picture.read_text(encoding="utf-8")


def test_the_picture_may_lie_elsewhere(chart, tmp_path):
    chosen = tmp_path / "chosen.svg"
    *_, picture = chart(CONTENT, options=("--out", str(chosen)))
    assert chosen.stat().st_size > 1000
    assert not picture.exists()


def test_what_the_bench_writes_is_read(tmp_path):
    settings = TimingSettings(threads=(1, 2))
    shape = Shape("s", 3, 4, 5, 6)
    description = {"cell": "lstm", "shape": vars(shape), "pass": "inference", "dtype": "float64"}
    known = Case("", shape, {"native": 200, "nn.LSTM": 100}, (), None, description)
    one = Result(known, {"native": [1.0, 1.0], "nn.LSTM": [2.0, 2.0]})
    two = Result(known, {"native": [0.5, 0.5], "nn.LSTM": [2.0, 2.0]}, threads=2, first=one)
    write_file(tmp_path / "times.json", about_the_run(settings), [one, two], finished=True)
    text = tables(read_figures([tmp_path / "times.json"]))
    assert "| lstm | 0.50 (0.50 to 0.50) | 0.25 (0.25 to 0.25) |" in text
    assert "| lstm | 0.25 (0.25 to 0.25), × 2.00 | 0.12 (0.12 to 0.12) |" in text


SHORT = ["lstm", "gru", "darts-v2", "nascell", "mingru"]


@pytest.mark.parametrize(
    ("page", "threads", "cells"), [("README.md", [1], SHORT), ("docs/speed/README.md", None, None)]
)
def test_pages_show_what_the_files_beside_them_say(page, threads, cells):
    """`make figures` writes them anew."""
    paths = [SPEED / f"{name}.json" for name in ("layers", "bf16", "tagger")]
    text = (ROOT / page).read_text(encoding="utf-8")
    (shown,) = re.findall(r"^<!-- figures -->\n(.*?)^<!-- end of figures -->$", text, re.MULTILINE | re.DOTALL)
    assert shown == tables(read_figures(paths, threads, cells))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not a file of cellzoo bench --out: the file: Invalid JSON"),
        ({**CONTENT, "cases": [{}]}, "cases.0.shape: Field required"),
        ({**CONTENT, "cases": CONTENT["cases"][2:]}, "no cell was timed beside nn.LSTM"),
    ],
)
def test_another_file_is_refused(chart, content, message):
    code, output, errors, picture = chart(content)
    assert (code, output) == (3, "")
    assert message in errors
    assert not picture.exists()


def test_a_file_that_is_not_there(monkeypatch, capsys, tmp_path):
    assert invoke(monkeypatch, "bench", "--chart", str(tmp_path / "none.json")) == 3
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.timeout(20)
def test_a_pipe_is_refused_unread(monkeypatch, capsys, tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    assert invoke(monkeypatch, "bench", "--chart", str(tmp_path / "pipe.json")) == 3
    assert "pipe.json: cannot be read" in capsys.readouterr().err

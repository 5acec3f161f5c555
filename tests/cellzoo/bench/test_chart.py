"""The chart and the table of a file of times."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest
from one_command import invoke


def spread(median):
    return {"median": median, "low": median * 0.9, "high": median * 1.25}


def candidate(name, seconds, *, flops=10, lstm=None):
    return {
        "name": name,
        "flops": flops,
        "seconds": [seconds],
        "median": spread(seconds),
        "ratios": {} if lstm is None else {"nn.LSTM": spread(seconds / lstm)},
        "per_flop": None if lstm is None else spread(seconds / lstm / flops * 10),
    }


def case(cell, shape, candidates):
    names = ("name", "batch", "steps", "input_size", "hidden_size", "packed")
    return {
        "cell": cell,
        "shape": dict(zip(names, shape, strict=True)),
        "pass": "training",
        "dtype": "float32",
        "load_average": 2.5,
        "candidates": candidates,
    }


SENTENCES = ("sentences", 32, 30, 256, 256, True)
CONTENT = {
    "machine": {"processor": "A <processor>", "torch_capability": "AVX512"},
    "versions": {"torch": "2.9"},
    "settings": {"clock": "CPU time, 1 thread"},
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


@pytest.fixture
def chart(monkeypatch, capsys, tmp_path):
    """Run the command on a content; gives (exit code, output, errors, picture)."""

    def run(content):
        path = tmp_path / "times.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        code = invoke(monkeypatch, "bench", "--chart", str(path))
        output, errors = capsys.readouterr()
        return code, output, errors, path.with_suffix(".svg")

    return run


def test_the_table_compares_the_fastest_engine_with_the_lstm_of_torch(chart):
    code, output, _, _ = chart(CONTENT)
    assert code == 0
    lines = output.splitlines()
    assert lines[0] == "| | nn.LSTM, ms | lstm, ms | big, ms |"
    assert lines[2] == (
        "| training step, float32, B 32, T up to 30, H 256 | 80 | 40 (0.5; 0.45 to 0.625) | "
        "120 (1.5; 1.35 to 1.88) |"
    )
    assert (
        "A <processor>, AVX512, torch 2.9, CPU time, 1 thread, 2026-01-02; load average 2.5 to 2.5." in output
    )


def test_the_picture_has_each_cell_per_flop_and_follows_the_scheme_of_the_reader(chart):
    *_, picture = chart(CONTENT)
    root = ElementTree.fromstring(picture.read_text(encoding="utf-8"))  # noqa: S314 - written here
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"lstm", "big", "0.5", "0.6"} <= set(texts)
    assert "alone" not in texts
    assert "prefers-color-scheme: dark" in picture.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not what cellzoo bench --out wrote: the file: Invalid JSON"),
        ({**CONTENT, "cases": [{}]}, "cases.0.shape: Field required"),
        ({**CONTENT, "cases": CONTENT["cases"][2:]}, "no cell in it was timed beside nn.LSTM"),
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

"""Paths that cannot be meant: one message, and nothing is opened or written."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

import cellzoo
from cellzoo.cli.main import main
from cellzoo.errors import CellError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "arguments",
    [
        ["board", "results", "--out", ""],
        ["board", "results", "--out", "~no-such-user/board"],
        ["board", "~no-such-user", "--out", "board"],
        ["demo", "--out", ""],
        ["search", "darts", "--on", "~no-such-user", "--out", "o", "--dry-run"],
        ["search", "darts", "--on", "small-ner", "--preset", "~no-such-user/a.toml", "--out", "o", "--dry-run"],
        ["run", "suite.toml", "--cells", "lstm", "--dry-run"],
        ["demo", "--out", "~no-such-user"],
        ["reproduce", "abcdef", "results", "--out", " "],
        ["reproduce", "abcdef", "~no-such-user"],
        ["gallery", "--out", ""],
        ["search", "darts", "--on", "small-ner", "--out", "", "--dry-run"],
        ["run", "small-ner", "--cells", "~no-such-user/mine.toml", "--dry-run"],
        ["data", "check", "~no-such-user/mine.toml"],
    ],
)
def test_empty_paths_and_unknown_homes_are_refused(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    (tmp_path / "suite.toml").write_text('title = "T"\n[[task]]\nname = "~no-such-user/t.toml"\n')
    assert main(arguments) in (2, 3)
    captured = capsys.readouterr()
    assert "is empty" in captured.out + captured.err or "home folder" in captured.out + captured.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results", "suite.toml"]


@pytest.mark.parametrize("variable", ["CELLZOO_DATA", "CELLZOO_CACHE", "XDG_CACHE_HOME", "HF_HOME"])
def test_unknown_homes_in_variables_are_named(
    variable: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CELLZOO_CACHE", raising=False)
    monkeypatch.setenv(variable, "~no-such-user/x")
    assert main(["data", "where", "wnut17", "sst-2"]) in (0, 2, 3)
    captured = capsys.readouterr()
    assert "is not the home folder of a known user" in captured.out + captured.err


def test_a_pipe_is_not_a_cell_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(CellError, match="is not a regular file"):
        cellzoo.load(tmp_path / "pipe.toml")

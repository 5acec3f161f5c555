"""`cellzoo data` as a user runs it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from real_data import data_folder

from cellzoo.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

SHIPPED = ("small-ner", "news", "wordsim-353", "simlex-999")


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CELLZOO_DATA", raising=False)


def test_check_of_what_needs_no_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", *SHIPPED]) == 0
    shown = capsys.readouterr().out
    assert [line.split(":")[0] for line in shown.splitlines() if line[0] != " "] == list(SHIPPED)
    assert "train: 600 sentences, 10,698 tokens, 1,104 spans" in shown
    assert "train: 235 lines, 48,738 tokens" in shown
    assert "pairs: 353 pairs" in shown
    assert "pairs: 999 pairs" in shown


def test_check_of_a_pretrained_model_gives_its_size(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "forward.pt").write_bytes(b"12345")
    assert main(["data", "check", f"flair:{tmp_path / 'forward.pt'}"]) == 0
    assert "model: 5 bytes" in capsys.readouterr().out


def test_missing_fails_only_when_asked_for(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for action in ("where", "check"):
        assert main(["data", action, "--data", str(tmp_path)]) == 0
        assert "wnut17: missing" in capsys.readouterr().out
        assert main(["data", action, "news", "wnut17", "--data", str(tmp_path)]) == 3
        shown = capsys.readouterr().out
        assert "news: found" in shown
        assert f"--data: {tmp_path} has no wnut17/wnut17train.conll" in shown


def test_original_files(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = data_folder("wnut17")
    monkeypatch.setenv("CELLZOO_DATA", str(folder))
    assert main(["data", "check", "wnut17", "glove-6b-50d"]) == 0
    shown = capsys.readouterr().out
    assert "wnut17: found (CELLZOO_DATA)" in shown
    assert "test: 1,287 sentences, 23,394 tokens, 1,079 spans" in shown
    assert "vectors: 83,341 words, 50 dimensions" in shown
    shutil.copytree(folder / "wnut17", tmp_path / "wnut17", copy_function=shutil.copyfile)
    changed = tmp_path / "wnut17/emerging.dev.conll"
    changed.write_bytes(changed.read_bytes() + b"\nQxjv\n")
    assert main(["data", "where", "--data", str(tmp_path)]) == 3
    shown = capsys.readouterr().out
    assert "wnut17: wrong" in shown
    assert f"{changed}:" in shown
    assert "news: found" in shown
    changed.write_bytes(changed.read_bytes().replace(b"Qxjv", b"Qxjv\tO"))
    assert main(["data", "where", "wnut17", "--data", str(tmp_path)]) == 0
    assert "another content than the published one" in capsys.readouterr().out
    assert main(["data", "check", "wnut17", "--data", str(tmp_path)]) == 3


def test_where_is_the_default_and_names_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data"]) == 0
    first = capsys.readouterr().out
    assert "lee_background.cor" in first
    assert main(["data", "where"]) == 0
    assert capsys.readouterr().out == first


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["check", "wnut-17"], 2, "unknown data set 'wnut-17'. Did you mean 'wnut17'?"),
        (["check", "--data", "no/such/folder"], 3, "--data no/such/folder: does not exist"),
    ],
)
def test_bad_input(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str) -> None:
    assert main(["data", *arguments]) == code
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""

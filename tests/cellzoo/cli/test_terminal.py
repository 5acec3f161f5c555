"""What others have written never steers the terminal: names of files, values, variables, records."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from cellzoo.cli.main import main
from cellzoo.system.streams import console

if TYPE_CHECKING:
    from pathlib import Path

RED = "\x1b[31mred\x1b[0m\x07\x9b2J"


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "small-ner", "--cells", "lstm", "--seeds", "1", "--out", f"out{RED}", "--dry-run"],
        ["run", "small-ner", "--cells", "lstm", "--seeds", "1", "--out", "store", "--dry-run"],
        ["data", "where", "small-ner", "wnut17", "--data", f"data{RED}"],
        ["data", "where", f"set{RED}"],
        ["doctor"],
        ["board", "store", "--check"],
        ["board", f"out{RED}", "--out", "board"],
        ["show", f"cell{RED}.toml"],
        ["plot", f"out{RED}"],
    ],
)
def test_control_characters_are_replaced(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CELLZOO_DATA", f"no-such{RED}")
    (tmp_path / f"data{RED}" / "wnut17").mkdir(parents=True)
    records = tmp_path / "store" / "records"
    records.mkdir(parents=True)
    (records / f"note{RED}.json").write_text('{"schema_version": 1, "key": "\\u001b[31mred"}')
    (records / f"note{RED}.txt").write_text("x")
    main(arguments)
    captured = capsys.readouterr()
    shown = captured.out + captured.err
    assert shown
    assert not set(shown) & {"\x1b", "\x07", "\x9b"}


def test_a_console_replaces_control_characters_but_not_its_own() -> None:
    stream = io.StringIO()
    shown = console(file=stream, force_terminal=True, color_system="standard", width=80)
    shown.print(f"a {RED}", style="green", markup=False)
    assert "31m" in stream.getvalue()
    assert "\x1b[31m" not in stream.getvalue()
    assert stream.getvalue().startswith("\x1b[32m")

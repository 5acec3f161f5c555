"""The page in a browser; run by name where Chromium is installed: pytest -m slow."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from board_pages import Page
from board_records import record, write

from cellzoo.cli.main import main

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--enable-logging=stderr", "--dump-dom"),
]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_the_script_runs_and_fills_what_it_should(tmp_path):
    for cell, base in (("lstm", 50.0), ("gru", 60.0)):
        write(tmp_path, *(record(cell, seed, metrics={"f1": base + seed / 10}) for seed in range(3)))
    assert main(["board", str(tmp_path), "--out", str(tmp_path / "board")]) == 0
    page = (tmp_path / "board" / "board.html").as_uri()
    done = subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", f"{page}#cell-1"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    assert "CONSOLE" not in done.stderr
    shown = Page(done.stdout)
    (controls,) = [form for form in shown.all("form") if form.get("id") == "controls"]
    assert "hidden" not in controls
    (opened,) = [card for card in shown.all("details") if "open" in card]
    assert opened["id"] == "cell-1"
    comparison = next(table for table in shown.tables if table[0][0].text.strip() == "Task")
    # gru stands first: 60.1 against 50.1.
    assert [cell.text.strip() for cell in comparison[1][:4]] == [
        "Title of small-ner",
        "60.10",
        "50.10",
        "+10.00",
    ]
    assert comparison[1][5].text.strip() == "first is better"

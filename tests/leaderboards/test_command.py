from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from board_records import record, write

from cellzoo.cli.main import main
from cellzoo.errors import OutputError, RecordError
from leaderboards.command import COMMAND


def run(*arguments):
    import argparse

    parser = argparse.ArgumentParser()
    COMMAND.configure(parser)
    return COMMAND.execute(parser.parse_args([str(argument) for argument in arguments]))


@pytest.fixture
def results(tmp_path):
    return write(tmp_path / "results", *(record("lstm", s, metrics={"f1": 50.0 + 2 * s}) for s in (0, 1)))


def test_writes_the_board_and_prints_the_table_and_the_page(results, tmp_path, capsys):
    out = tmp_path / "deep" / "board"
    assert run(results, "--out", out, "--title", "My board") == 0
    assert sorted(path.name for path in out.iterdir()) == ["board.html", "board.md", "board.svg"]
    printed = capsys.readouterr().out
    assert "| lstm | 51.00 ± 1.41 (2 seeds, unranked) |" in printed
    assert str(out / "board.html") in printed
    assert "<h1>My board</h1>" in (out / "board.html").read_text()
    assert (out / "board.md").read_text().startswith("# My board\n")
    assert "](board.svg)" in (out / "board.md").read_text()


def test_a_terminal_gets_a_table_of_its_own(results, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    run(results, "--out", tmp_path / "board")
    printed = capsys.readouterr().out
    assert "51.00 ± 1.41" in printed
    assert "| lstm" not in printed


def test_bad_records_stop_it_and_keep_what_was_there(results, tmp_path):
    out = tmp_path / "board"
    run(results, "--out", out)
    before = {path: path.read_bytes() for path in out.iterdir()}
    bad = results / "records" / "cut.json"
    bad.write_text('{"schema_version": 1,')
    with pytest.raises(RecordError, match=r"cut\.json: line 1"):
        run(results, "--out", out)
    assert {path: path.read_bytes() for path in out.iterdir()} == before
    assert run(results, "--out", out, "--skip-bad") == 0
    assert "cut.json" in (out / "board.html").read_text()


def test_nothing_is_made_where_there_are_no_records(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecordError, match="holds no run records"):
        run(tmp_path / "empty", "--out", tmp_path / "board")
    assert not (tmp_path / "board").exists()


@pytest.mark.parametrize("below", ["", "sub"])
def test_an_output_folder_that_is_a_file_is_one_clear_message(results, tmp_path, below):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="file"):
        run(results, "--out", tmp_path / "file" / below)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_full_disk_keeps_the_board_that_was_there(results, tmp_path, monkeypatch):
    out = tmp_path / "board"
    run(results, "--out", out, "--title", "Before")
    before = {path: path.read_bytes() for path in out.iterdir()}

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        run(results, "--out", out, "--title", "After")
    assert {path: path.read_bytes() for path in out.iterdir()} == before


def test_the_command_line_prints_one_message_and_no_traceback(results, tmp_path, capsys):
    (results / "records" / "foreign.json").write_text(json.dumps({"hello": 1}))
    assert main(["board", str(results), "--out", str(tmp_path / "board")]) == RecordError.exit_code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("cellzoo: error: ")
    assert "foreign.json" in captured.err
    assert "Traceback" not in captured.err


def test_help_names_the_options_and_gives_examples(capsys):
    with pytest.raises(SystemExit):
        main(["board", "--help"])
    printed = capsys.readouterr().out
    for text in ("--out", "--title", "--skip-bad", "examples:", "cellzoo board results --out board"):
        assert text in printed


def test_commands_load_nothing_heavy():
    code = (
        "import sys, leaderboards.command, leaderboards.demo;"
        "print([m for m in ('pydantic', 'jinja2', 'rich', 'numpy', 'scipy', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_file_that_a_page_needs_is_in_the_package():
    import tomllib

    root = Path(__file__).parents[2]
    patterns = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    listed = {path for pattern in patterns["leaderboards"] for path in (root / "leaderboards").glob(pattern)}
    there = {
        path for path in (root / "leaderboards" / "render").iterdir() if path.suffix in {".j2", ".css", ".js"}
    }
    assert there <= listed


PRESS = """
<script>
const lines = [];
for (const table of document.querySelectorAll("table")) {
  for (const [index, button] of [...table.querySelectorAll("th button")].entries()) {
    for (const press of [1, 2]) {
      button.click();
      const column = [...table.tBodies[0].rows].map((row) => row.cells[index].dataset.value ?? "missing");
      const marks = [...table.querySelectorAll("[aria-sort]")].map((head) => head.getAttribute("aria-sort"));
      lines.push(JSON.stringify({kind: button.closest("th").dataset.kind, column, marks}));
    }
  }
}
document.body.textContent = "";
const pre = document.body.appendChild(document.createElement("pre"));
pre.textContent = lines.join("\\n");
</script>
"""


@pytest.mark.slow
def test_headings_sort_in_a_browser(tmp_path):
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("no chromium on this machine")
    contents = [
        record(c, s, metrics={"f1": len(c) * 10.0 + s}) for c in ("lstm", "gru", "darts-v2") for s in (0, 1)
    ]
    run(write(tmp_path, *contents, record("enas", task="other")), "--out", tmp_path)
    text = (tmp_path / "board.html").read_text()
    policy = text[text.index("<meta http-equiv") : text.index("<meta name")]
    page = tmp_path / "pressed.html"
    page.write_text(text.replace(policy, "").replace("</body>", PRESS + "</body>"))
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    )
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    command = [browser, *flags.split(), "--disable-component-update", "--disable-sync", profile, "--dump-dom"]
    done = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, check=True, timeout=120)
    lines = done.stdout.partition("<pre>")[2].partition("</pre>")[0].splitlines()
    assert len(lines) > 20
    for line in map(json.loads, lines):
        present = [value for value in line["column"] if value != "missing"]
        assert line["column"] == present + ["missing"] * (len(line["column"]) - len(present))
        key = float if line["kind"] == "number" else str
        (direction,) = line["marks"]
        assert present == sorted(present, key=key, reverse=direction == "descending")

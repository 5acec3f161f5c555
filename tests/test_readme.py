"""Runs what the README shows, in its order, in an empty folder."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cellzoo.cli.main import find_commands

README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def blocks(language):
    return [text for kind, text in BLOCKS if kind == language]


def run(command, folder):
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=250
    )


def test_python_blocks_run_one_after_the_other(tmp_path):
    found = run([sys.executable, "-c", "\n".join(blocks("python"))], tmp_path)
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith("['darts-v1', 'darts-v2'")


def test_evaluating_comparing_and_searching_run_one_after_the_other(tmp_path):
    (tmp_path / "mine.toml").write_text(blocks("toml")[0], encoding="utf-8")
    commands = [text for text in blocks("sh") if text.startswith("cellzoo") and "--data DIR" not in text]
    assert len(commands) == 2
    for command in commands:
        found = run(["sh", "-ec", command], tmp_path)
        assert found.returncode == 0, found.stderr
    assert "mine" in (tmp_path / "board" / "board.md").read_text(encoding="utf-8")
    assert (tmp_path / "board" / "board.html").stat().st_size > 1000
    assert "searched" in (tmp_path / "darts-0" / "found.toml").read_text(encoding="utf-8")


def test_the_command_on_real_text_is_a_valid_plan(tmp_path):
    data = Path(os.environ.get("CELLZOO_DATA", README.parent.parent / "shared" / "data")).resolve()
    if not (data / "wnut17").is_dir():
        pytest.skip(f"no WNUT-17 in {data}; set CELLZOO_DATA to a folder that has it")
    (command,) = [text for text in blocks("sh") if "--data DIR" in text]
    found = run(["sh", "-ec", command.replace("DIR", str(data)).strip() + " --dry-run"], tmp_path)
    assert found.returncode == 0, found.stderr
    assert found.stdout.count("wnut17") >= 15


def test_make_targets_of_the_readme_exist():
    makefile = (README.parent / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", "\n".join(blocks("sh")), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_links_to_files_exist():
    pages = [README, *(README.parent / "docs").rglob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\((?!http)([^)]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page}: {target}"


def test_commands_and_options_of_the_docs_exist():
    """Every `cellzoo COMMAND --option` in the text is one that the command line has."""
    pages = [README, *(README.parent / "docs").glob("*.md")]
    shown = {
        words
        for page in pages
        for words in re.findall(r"`(cellzoo [a-z][^`]*)`", page.read_text(encoding="utf-8"))
    }
    commands = find_commands()
    for words in shown:
        name, *others = words.split()[1:]
        assert name in commands, words
        parser = argparse.ArgumentParser()
        commands[name].configure(parser)
        known = {option for action in parser._actions for option in action.option_strings}
        assert {word for word in others if word.startswith("--")} <= known | {"--help"}, words

"""The command line as a whole: help, speed, and faults without a traceback."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).with_name("cellzoo")


def cellzoo(*arguments, **options):
    return subprocess.run(
        [COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60, **options
    )


def test_help_names_every_command_with_examples_and_exit_codes():
    found = cellzoo("--help")
    assert found.returncode == 0
    assert found.stderr == ""
    for part in ("cells", "show", "run", "board", "data", "demo", "examples:", "exit codes:"):
        assert part in found.stdout


@pytest.mark.parametrize("command", ["cells", "show", "run", "board", "data", "demo"])
def test_each_command_has_examples(command):
    found = cellzoo(command, "--help")
    assert found.returncode == 0
    assert "examples:" in found.stdout
    assert f"cellzoo {command}" in found.stdout.split("examples:")[1]


def test_help_is_quick():
    """The aim is 0.4 s; the bound allows for a machine under load and takes the best of several."""
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        cellzoo("--help")
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 0.8


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from cellzoo.cli.main import find_commands; find_commands();"
        "print([name for name in ('torch', 'flair', 'gensim', 'numpy', 'scipy', 'pydantic', 'rich') "
        "if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["rnu"], "unknown command 'rnu'. Did you mean 'run'", 2),
        (["show", "lstn"], "unknown cell 'lstn'. Did you mean 'lstm'", 2),
        (["show", "no/such.toml"], "no/such.toml: no such cell file", 2),
        (["cells", "xyz*"], "unknown cell or pattern 'xyz*'", 2),
        (["show", "lstm", "--hidden-size", "0"], "'0' is no size", 2),
        (["show", "lstm", "--colour"], "unrecognized arguments: --colour", 2),
    ],
)
def test_faults_are_one_message_and_an_exit_code(arguments, message, code):
    found = cellzoo(*arguments)
    assert found.returncode == code
    assert message in found.stderr
    assert "Traceback" not in found.stderr
    assert found.stdout == ""


def shell(line):
    return subprocess.run(line, shell=True, capture_output=True, text=True, check=False)  # noqa: S602 - the point


def test_output_into_a_closed_pipe_is_no_error():
    found = shell(f"'{COMMAND}' cells --json | head -1")
    assert found.stdout.startswith("{")
    assert found.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("arguments", ["cells", "show lstm", "cells lstm --names"])
def test_output_onto_a_full_disk_is_one_message(arguments):
    found = shell(f"'{COMMAND}' {arguments} > /dev/full")
    assert found.returncode == 5
    assert found.stderr == "cellzoo: error: the output cannot be written: No space left on device\n"


@pytest.mark.parametrize("streams", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_are_no_error(streams):
    found = shell(f"'{COMMAND}' cells lstm {streams}")
    assert (found.returncode, found.stderr) == (0, "")


def test_characters_that_the_terminal_lacks_are_replaced():
    found = cellzoo("show", "lstm", env={"PYTHONIOENCODING": "ascii"})
    assert (found.returncode, found.stderr) == (0, "")
    assert "4EH + 4H? + 4H at" in found.stdout

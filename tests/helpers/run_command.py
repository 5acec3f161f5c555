"""The command `run` by itself, for tests that need it in a process of its own."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

from cellzoo.errors import CellzooError
from tasks.commands.run import COMMAND

HERE = Path(__file__).parent


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser()
    COMMAND.configure(parser)
    try:
        return COMMAND.execute(parser.parse_args(arguments))
    except CellzooError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def start(*arguments, **options) -> subprocess.Popen:
    """Start the command in a process group of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1])])}
    return subprocess.Popen(
        [sys.executable, str(Path(__file__)), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
        **options,
    )


def wait_for(process: subprocess.Popen, words: str) -> str:
    """Read the command's output up to a line with `words`."""
    seen = ""
    for line in process.stdout:
        seen += line
        if words in line:
            return seen
    raise AssertionError(f"{words!r} never came: {seen}{process.stderr.read()}")


def run(*arguments, **options) -> subprocess.CompletedProcess:
    """Run the command to its end."""
    process = start(*arguments, **options)
    output, errors = process.communicate(timeout=120)
    assert "Traceback" not in output + errors, output + errors
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def run_script(path) -> subprocess.CompletedProcess:
    """Run a script to its end."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1])])}
    return subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, env=environment, timeout=120, check=False
    )


if __name__ == "__main__":
    # A shell starts background jobs deaf to Ctrl-C, and so would the command be in tests run that way.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())

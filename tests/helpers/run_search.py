"""The command `search` by itself, for tests that need it in a process of its own."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

from cellzoo.errors import CellzooError
from search.commands.search import COMMAND

HERE = Path(__file__).parent


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser()
    COMMAND.configure(parser)
    try:
        return COMMAND.execute(parser.parse_args([str(argument) for argument in arguments or sys.argv[1:]]))
    except CellzooError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def start(*arguments, hash_seed="0") -> subprocess.Popen:
    """Start the command in a process group of its own."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1])]),
        "PYTHONHASHSEED": hash_seed,
    }
    return subprocess.Popen(
        [sys.executable, "-u", str(Path(__file__)), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )


def run(*arguments, **options) -> subprocess.CompletedProcess:
    """Run the command to its end."""
    process = start(*arguments, **options)
    output, errors = process.communicate(timeout=200)
    assert "Traceback" not in output + errors, output + errors
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


if __name__ == "__main__":
    # A shell starts background jobs deaf to Ctrl-C, and so would the command be in tests run that way.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())

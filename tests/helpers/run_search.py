"""The command `search` by itself, for tests that need it in a process of its own, and a preset for seconds."""

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

PRESET = """\
title = "Seconds, for tests"
epochs = 3

[methods.darts]
nodes = 3
learning_rate = 1.0
architecture_learning_rate = 0.05

[methods.random]
nodes = 3
epochs_each = 1
optimizer = "adam"
learning_rate = 0.01

[methods.random-ws]
nodes = 3
learning_rate = 1.0
candidates = 4
candidates_an_epoch = 2
judging_batches = 2

[methods.random-ws.on.tagging]
learning_rate = 0.25

[objectives.language-modeling]
hidden_size = 8
batch_size = 4
validation_batch_size = 2
bptt = 8
evaluation_streams = 2
dropout = 0.1
dropout_x = 0.1
dropout_i = 0.1

[objectives.language-modeling.for.random-ws]
bptt = 6

[objectives.tagging]
hidden_size = 8
word_size = 6
batch_size = 8
validation_batch_size = 8
train_sentences = 64

[then.language-modeling.brief]
hidden_size = 8
batch_size = 4
bptt = 8
epochs = 1
optimizer = "adam"
learning_rate = 0.02

[then.language-modeling.full]
hidden_size = 8
batch_size = 4
bptt = 8
epochs = 2
optimizer = "adam"
learning_rate = 0.02
"""


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

"""The peak extra memory of a run, measured in a process of its own.

The process loads everything with a run at tiny sizes, builds the candidate, notes its resident memory, and
runs it a few times. The extra memory is how far the high-water mark of the resident memory rises above that
note: what is kept for the backward pass, workspaces and gradients, but not weights, inputs and libraries.

Where the mark cannot be reset just before the runs, a higher one from loading hides what is below it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

from cellzoo.errors import CellzooError, RunError
from cellzoo.system.resident import peak, start_peak

if TYPE_CHECKING:
    from collections.abc import Callable

    from cellzoo.bench.case import Case

# The first run grows workspaces and the allocator's heap; later ones show whether they are used again.
RUNS = 3
_TIMEOUT = 1200


def peak_extra_bytes(case: Case, name: str, threads: int) -> int:
    """Measure the peak extra memory of one candidate's run.

    Args:
        case: What is run.
        name: One of its candidates.
        threads: For torch.

    Raises:
        RunError: The process failed; the message has its last line.
    """
    path, arguments = case.recipe()
    request = {"path": path, "arguments": arguments, "name": name, "threads": threads}
    try:
        answer = subprocess.run(
            [sys.executable, "-m", "cellzoo.bench.memory"],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise RunError(f"memory of {name}: no measurement: {error}") from error
    if answer.returncode:
        last = answer.stderr.strip().splitlines()[-1:] or [f"exit code {answer.returncode}"]
        raise RunError(f"memory of {name}: no measurement: {last[0]}")
    return int(answer.stdout.strip().splitlines()[-1])


def _measure(request: dict[str, Any]) -> int:
    """Do what `peak_extra_bytes` says, in this process."""
    import torch

    torch.set_num_threads(request["threads"])
    module, _, function = request["path"].partition(":")
    case: Case = getattr(import_module(module), function)(**request["arguments"])
    name = request["name"]
    case.tiny().build(name, time.perf_counter).run()
    return extra_bytes(case.build(name, time.perf_counter).run)


def extra_bytes(run: Callable[[], object]) -> int:
    """How far the high-water mark of this process's resident memory rises in some runs."""
    before = start_peak()
    for _ in range(RUNS):
        run()
    return max(0, peak() - before)


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{_measure(json.load(sys.stdin))}\n")
    except (CellzooError, MemoryError, RuntimeError) as error:
        sys.stderr.write(f"{str(error).splitlines()[0] if str(error) else type(error).__name__}\n")
        sys.exit(1)

"""`cellzoo doctor`: what works here and what is missing."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING

from cellzoo.cli.command import Command

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from cellzoo.doctor import Finding

FAULT_CODE = 1
_MIN_WIDTH = 60
_DESCRIPTION = """\
Look at what works here: Python, packages, torch's build, the processor and its threads, the native engine and
its instruction set, CUDA, the extras, the data folder, folders that are written. What is absent limits what can
be done, or how fast; what is a fault must be mended. Advice stands below each."""
_EXAMPLES = """\
  cellzoo doctor           in a moment, without importing torch
  cellzoo doctor --full    also import torch and run a small cell by every engine
  cellzoo doctor --json    the same as one JSON object

exit codes:
  0 all that is needed is here   1 something that is needed is missing or wrong   2 bad usage"""


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--full", action="store_true", help="also import torch and run every engine")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _execute(options: argparse.Namespace) -> int:
    from cellzoo.doctor import Status, examine

    findings = examine(full=options.full)
    is_well = all(finding.state is not Status.FAULT for finding in findings)
    if options.json:
        rows = [
            {"topic": one.topic, "state": one.state.value, "message": one.message, "advice": one.advice}
            for one in findings
        ]
        sys.stdout.write(json.dumps({"ok": is_well, "findings": rows}, indent=1) + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in _lines(findings))
    return 0 if is_well else FAULT_CODE


def _lines(findings: list[Finding]) -> Iterator[str]:
    """A block for each finding: state, topic, message, and advice below."""
    from cellzoo.doctor import Status

    width = max(_MIN_WIDTH, shutil.get_terminal_size().columns)
    topics = max(len(finding.topic) for finding in findings)
    states = max(len(state.value) for state in Status)
    indent = " " * (states + topics + 4)
    for finding in findings:
        start = f"{finding.state.value:<{states}}  {finding.topic:<{topics}}  "
        for text, first in ((finding.message, start), (finding.advice, f"{indent}-> ")):
            if text:
                yield from textwrap.wrap(
                    text,
                    width,
                    initial_indent=first,
                    subsequent_indent=indent,
                    break_long_words=False,
                    break_on_hyphens=False,
                )
    faults = sum(finding.state is Status.FAULT for finding in findings)
    absent = sum(finding.state is Status.ABSENT for finding in findings)
    yield ""
    yield f"{faults or 'no'} fault{'' if faults == 1 else 's'}; {absent} absent, which cellzoo can do without"


COMMAND = Command(
    name="doctor",
    summary="what works here and what is missing",
    description=_DESCRIPTION,
    examples=_EXAMPLES,
    configure=_configure,
    execute=_execute,
)

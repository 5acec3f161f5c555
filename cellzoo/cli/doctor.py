"""`cellzoo doctor`: what works here and what is missing."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from cellzoo.cli.command import Command
from cellzoo.system.text import printable

if TYPE_CHECKING:
    import argparse

_DESCRIPTION = """\
Check the installation: Python, packages, torch, the processor and its threads, the native engine and its
instruction set, CUDA, optional extras, the data folder and the folders that are written to. An item marked
absent is optional, but something will be slower or not available; a fault must be fixed. Each such item comes
with advice."""
_EXAMPLES = """\
  cellzoo doctor           quick: torch is not imported
  cellzoo doctor --full    also import torch and run a small cell with every engine
  cellzoo doctor --json    the same as one JSON object

exit codes:
  0 no fault   1 something required is missing or wrong   2 bad usage"""


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--full", action="store_true", help="also import torch and run every engine")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _execute(options: argparse.Namespace) -> int:
    from cellzoo import doctor

    findings = doctor.examine(full=options.full)
    states = [one.state for one in findings]
    faults, absent = (states.count(state) for state in (doctor.Status.FAULT, doctor.Status.ABSENT))
    if options.json:
        rows = [{**vars(one), "state": one.state.value} for one in findings]
        sys.stdout.write(json.dumps({"ok": not faults, "findings": rows}, indent=1) + "\n")
    else:
        topics = max(len(one.topic) for one in findings)
        # Lines are not broken: advice is copied, and rich, which would wrap them, may be what is missing.
        for one in findings:
            sys.stdout.write(printable(f"{one.state.value:<6}  {one.topic:<{topics}}  {one.message}\n"))
            if one.advice:
                sys.stdout.write(f"{'':<{topics + 10}}-> {one.advice}\n")
        plural = "" if faults == 1 else "s"
        sys.stdout.write(f"\n{faults or 'no'} fault{plural}; {absent} absent, which cellzoo can do without\n")
    return 1 if faults else 0


COMMAND = Command(
    name="doctor",
    summary="check the installation, with advice",
    description=_DESCRIPTION,
    examples=_EXAMPLES,
    configure=_configure,
    execute=_execute,
)

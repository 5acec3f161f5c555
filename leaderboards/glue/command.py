"""`cellzoo glue`: summarises runs of GLUE's tasks and packs submissions for its evaluation server."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from cellzoo.cli.command import Command
from cellzoo.errors import CellzooError, DataError
from cellzoo.system.paths import path_option

if TYPE_CHECKING:
    import argparse

_DESCRIPTION = """\
Summarise runs of the GLUE tasks: mean, median and range over the seeds, how many runs are degenerate (predict
the same label for every example), the smallest difference that is significant on a test set of that size, and
the GLUE average if all nine tasks were run.

--submission packs the predictions of one cell and seed on the official test sets into an archive for GLUE's
evaluation server; --check validates such an archive."""


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "results",
        nargs="*",
        type=path_option("RESULTS"),
        metavar="RESULTS",
        help="output folders of `cellzoo run`",
    )
    parser.add_argument(
        "--submission",
        type=path_option("--submission"),
        metavar="FILE",
        help="write a submission to this .zip file",
    )
    parser.add_argument("--cell", metavar="CELL", help="with --submission: the cell whose predictions to pack")
    parser.add_argument("--seed", default="0", metavar="N", help="with --submission: the seed; default 0")
    parser.add_argument(
        "--check",
        type=path_option("--check"),
        metavar="FILE",
        help="check this submission; RESULTS are not needed",
    )


def _execute(options: argparse.Namespace) -> int:
    if options.check is not None:
        return _check(options)
    if not options.results:
        raise CellzooError(
            "glue: name the folder that `cellzoo run glue` wrote to, such as: cellzoo glue results"
        )
    from cellzoo.system.text import printable
    from leaderboards.collect import collect
    from leaderboards.glue.submission import write_submission
    from leaderboards.glue.table import describe

    collection = collect(options.results)
    if options.submission is None:
        lines = list(describe(collection))
    else:
        if not options.cell or not re.fullmatch(r"\d{1,10}", options.seed, re.ASCII):
            raise CellzooError("glue --submission: name the cell and one seed, such as --cell lstm --seed 0")
        lines = write_submission(collection, options.cell, int(options.seed), options.submission)
        lines.append(f"written: {options.submission}")
    sys.stdout.write(printable("\n".join(lines) + "\n"))
    return 0


def _check(options: argparse.Namespace) -> int:
    from cellzoo.system.text import printable
    from leaderboards.glue.submission import check_submission

    faults = check_submission(options.check)
    text = "\n".join(f"  {fault}" for fault in faults)
    if faults:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise DataError(printable(f"{options.check}: {count}\n{text}"))
    sys.stdout.write(printable(f"{options.check}: is a valid submission with all files of GLUE\n"))
    return 0


COMMAND = Command(
    name="glue",
    summary="summarise GLUE results, or pack a submission for its server",
    description=_DESCRIPTION,
    examples=(
        "  cellzoo glue results\n"
        "  cellzoo glue results --submission lstm.zip --cell lstm --seed 0\n"
        "  cellzoo glue --check lstm.zip"
    ),
    configure=_configure,
    execute=_execute,
)

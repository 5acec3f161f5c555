"""`cellzoo demo`: trains five cells on three small tasks and writes a leaderboard."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cellzoo.cli.command import Command
from cellzoo.system.paths import path_option
from cellzoo.system.text import printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from tasks.suites.suite import Suite

SUITE = "demo"
CELLS = ("lstm", "gru", "darts-v2", "idarts-v1", "random-darts-0")
SEEDS = 2
TITLE = "Demo: five cells on three small tasks"

_DESCRIPTION = f"""\
Train and evaluate the cells {", ".join(CELLS)} on three small
tasks with {SEEDS} seeds each, and write a leaderboard of the results. It takes a few minutes on two cores and
downloads nothing. Runs that are already done are skipped, so that a second call takes seconds.

The tasks are small so that they are quick. They show how everything works, not which cell is best."""


def demo(out: Path, *, suite: str | Suite = SUITE, cells: Sequence[str] = CELLS, seeds: int = SEEDS) -> None:
    """Run a suite and write its leaderboard, both into `out`, and report the progress.

    Raises:
        OutputError: `out` cannot be written, or another run uses it.
        RunError: Some runs failed; the leaderboard shows the others.
    """
    from cellzoo.system.streams import console
    from leaderboards.build import build_board
    from leaderboards.collect import Collection
    from leaderboards.render.terminal import show
    from leaderboards.write import write_board
    from tasks.runs.progress import show_progress
    from tasks.runs.run import run_suite
    from tasks.suites.suite import Suite, find_suite

    found = suite if isinstance(suite, Suite) else find_suite(suite)
    _say(
        f"{found.title}.",
        f"cells  {', '.join(cells)}",
        f"tasks  {', '.join(task.name for task in found.tasks)}",
        f"seeds  {', '.join(map(str, range(seeds)))}",
        "",
    )
    report = run_suite(found, cells, seeds, out=out, listener=show_progress(console()))
    there = len(report.records) - report.made
    _say(
        *(f"note: {note}" for note in report.notes),
        f"{report.made} runs made now, {there} were there before ({report.seconds:.0f} s)",
        "",
    )
    if report.records:
        board = build_board(Collection(report.records, (), 0), TITLE)
        show(board, write_board(board, report.out))
    report.raise_for_failures()


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out",
        type=path_option("--out"),
        default=Path("demo"),
        metavar="DIR",
        help="output folder (default: demo)",
    )


def _execute(options: argparse.Namespace) -> int:
    demo(options.out)
    return 0


def _say(*lines: str) -> None:
    sys.stdout.write(printable("\n".join(lines) + "\n"))
    sys.stdout.flush()


COMMAND = Command(
    name="demo",
    summary="evaluate five cells on three small tasks, in a few minutes",
    description=_DESCRIPTION,
    examples=(
        "  cellzoo demo                 results and leaderboard go into the folder demo\n"
        "  cellzoo demo --out /tmp/try  into another folder"
    ),
    configure=_configure,
    execute=_execute,
)

"""`cellzoo board`: tables and a page from run records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cellzoo.cli.command import Command

if TYPE_CHECKING:
    import argparse

TITLE = "Leaderboard of recurrent cells"

_DESCRIPTION = """\
Make a leaderboard from run records: board.html (one self-contained page, sortable, for a double click),
board.md and board.svg.

Results under different settings, data or task revisions come into separate tables, never into one mean.
A file that is truncated, foreign or edited, or two files that contradict each other, stop the command and
nothing is written; with --skip-bad it goes on and the page names what was left out."""


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "results",
        nargs="+",
        type=Path,
        metavar="RESULTS",
        help="folders that `cellzoo run` wrote to, folders of such folders, or record files",
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="where to write the board")
    parser.add_argument("--title", default=TITLE, help=f"heading of the page (default: {TITLE})")
    parser.add_argument(
        "--skip-bad", action="store_true", help="go on without faulty files, and name them on the page"
    )


def _execute(options: argparse.Namespace) -> int:
    from leaderboards.board import build_board
    from leaderboards.collect import collect
    from leaderboards.render.terminal import show
    from leaderboards.write import write_board

    board = build_board(collect(options.results, skip_bad=options.skip_bad), options.title)
    show(board, write_board(board, options.out))
    return 0


COMMAND = Command(
    name="board",
    summary="make a leaderboard from run records",
    description=_DESCRIPTION,
    examples=(
        "  cellzoo board results --out board               one results folder\n"
        "  cellzoo board mine theirs --out board           several, each result counted once\n"
        '  cellzoo board results --out board --title "WNUT-17, November"\n'
        "  cellzoo board results --out board --skip-bad    leave faulty files out, and say so"
    ),
    configure=_configure,
    execute=_execute,
)

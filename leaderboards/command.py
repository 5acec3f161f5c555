"""`cellzoo board`: tables and a page from run records."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cellzoo.cli.command import Command
from cellzoo.errors import CellzooError, RecordError
from cellzoo.system.paths import path_option

if TYPE_CHECKING:
    import argparse

TITLE = "Leaderboard of recurrent cells"

FORMATS = {
    "json": "board.json",
    "csv": "board.csv",
    "latex": "board.tex",
    "parquet": "board.parquet",
    "model-index": "board.model-index.yaml",
    "every-eval-ever": "board.every-eval-ever.jsonl",
    "signatures": "board.signatures.txt",
    "eval-results": "eval_results",
    "plots": "plots",
}

_DESCRIPTION = """\
Make a leaderboard from run records: board.html (one self-contained page, for a double click), board.md and
board.svg; --also adds the same numbers in other forms.

Results under different settings, data or task revisions come into separate tables, never into one mean. Stores
of several people merge by key, each result counted once. A file that is truncated, foreign or edited, or two
files that contradict each other, stop the command and nothing is written; with --skip-bad it goes on and the
page names what was left out.

--check only checks the records and their items; --compare says what changed between two stores, as Markdown."""


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "results",
        nargs="+",
        type=path_option("RESULTS"),
        metavar="RESULTS",
        help="folders that `cellzoo run` wrote to, folders of such folders, or record files",
    )
    parser.add_argument("--out", type=path_option("--out"), metavar="DIR", help="where to write the board")
    parser.add_argument("--title", default=TITLE, help=f"heading of the page (default: {TITLE})")
    parser.add_argument(
        "--also", default="", metavar="A,B,...", help=f"further forms of the numbers: {', '.join(FORMATS)}"
    )
    parser.add_argument(
        "--skip-bad", action="store_true", help="go on without faulty files, and name them on the page"
    )
    parser.add_argument("--check", action="store_true", help="check the records, and write no board")
    parser.add_argument(
        "--snapshot",
        type=path_option("--snapshot"),
        metavar="FILE",
        help="with --check: what must still be there; written if it is not there yet",
    )
    parser.add_argument(
        "--compare",
        action="store_true",
        help="say what is new, better and worse from the first store to the second",
    )


def _execute(options: argparse.Namespace) -> int:
    if options.check:
        return _check(options)
    if options.compare:
        return _compare(options)
    if options.out is None:
        raise CellzooError("board: name the folder to write to with --out DIR")
    forms = _forms(options.also)
    from leaderboards.build import build_board
    from leaderboards.collect import collect
    from leaderboards.render.terminal import show
    from leaderboards.write import write_board

    board = build_board(collect(options.results, skip_bad=options.skip_bad), options.title)
    show(board, write_board(board, options.out, forms))
    return 0


def _forms(text: str) -> dict[str, str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in FORMATS:
            raise CellzooError(
                f"--also {name!r}: is not a form of the numbers; choose from {', '.join(FORMATS)}"
            )
    return {name: FORMATS[name] for name in names}


def _check(options: argparse.Namespace) -> int:
    from cellzoo.system.atomic import write_atomically
    from cellzoo.system.text import printable
    from leaderboards.check import check, read_snapshot, render_report, snapshot_of
    from leaderboards.collect import collect

    collection = collect(options.results, skip_bad=True)
    there = options.snapshot is not None and options.snapshot.exists()
    report = check(collection, read_snapshot(options.snapshot) if there else None)
    sys.stdout.write(printable(render_report(report)))
    if options.snapshot is not None and not report.faults:
        write_atomically(options.snapshot, snapshot_of(collection).encode())
    return RecordError.exit_code if report.faults else 0


def _compare(options: argparse.Namespace) -> int:
    from cellzoo.system.text import printable
    from leaderboards.build import build_board
    from leaderboards.changes import compare_boards
    from leaderboards.collect import collect

    if len(options.results) != 2:
        raise CellzooError("board --compare: give two stores, the one before and the one after")
    before, after = (
        build_board(collect([results], skip_bad=options.skip_bad), options.title) for results in options.results
    )
    sys.stdout.write(printable(compare_boards(before, after)))
    return 0


COMMAND = Command(
    name="board",
    summary="make a leaderboard from run records",
    description=_DESCRIPTION,
    examples=(
        "  cellzoo board results --out board               one results folder\n"
        "  cellzoo board mine theirs --out board           several, each result counted once\n"
        '  cellzoo board results --out board --title "WNUT-17, November"\n'
        "  cellzoo board results --out board --skip-bad    leave faulty files out, and say so\n"
        "  cellzoo board results --out board --also json,csv,latex\n"
        "  cellzoo board results --out board --also plots  PDF and PNG of every plot, for papers and slides\n"
        "  cellzoo board results --check                   check the records and their items\n"
        "  cellzoo board --compare before after            what changed, for a pull request"
    ),
    configure=_configure,
    execute=_execute,
)

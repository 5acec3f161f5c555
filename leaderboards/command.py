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
Make a leaderboard from the results of `cellzoo run`. It writes board.html (one self-contained page to open in a
browser), board.md and board.svg into the folder given by --out; --also adds other file formats.

Results with different settings, data or task revisions go into separate tables and are never averaged together.
Results folders of several people can be combined: a result that occurs twice is counted once. If a file is
truncated, edited or not a record, or if two files contradict each other, nothing is written; with --skip-bad
such files are left out and listed on the page.

--check and --compare write no leaderboard: --check validates the records and their per-item files, --compare
prints what changed between two results folders, as Markdown."""


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "results",
        nargs="+",
        type=path_option("RESULTS"),
        metavar="RESULTS",
        help="output folders of `cellzoo run`, folders that contain such folders, or single record files",
    )
    parser.add_argument(
        "--out", type=path_option("--out"), metavar="DIR", help="folder to write the leaderboard into"
    )
    parser.add_argument("--title", default=TITLE, help=f"heading of the page (default: {TITLE})")
    parser.add_argument(
        "--also",
        default="",
        metavar="A,B,...",
        help=f"other file formats to write as well: {', '.join(FORMATS)}",
    )
    parser.add_argument(
        "--skip-bad", action="store_true", help="leave out invalid files and list them on the page"
    )
    parser.add_argument("--check", action="store_true", help="only check the records; write no leaderboard")
    parser.add_argument(
        "--snapshot",
        type=path_option("--snapshot"),
        metavar="FILE",
        help="with --check: also check that every result listed in FILE is still there and unchanged; FILE is "
        "created, or updated, when the check finds no fault",
    )
    parser.add_argument(
        "--compare",
        action="store_true",
        help="list what is new, better and worse in the second results folder; write no leaderboard",
    )


def _execute(options: argparse.Namespace) -> int:
    if options.check and options.compare:
        raise CellzooError("board: --check and --compare are two different commands; give one of them")
    if options.snapshot is not None and not options.check:
        raise CellzooError("board: --snapshot FILE is used by --check only; add --check")
    if options.check:
        return _check(options)
    if options.compare:
        return _compare(options)
    if options.out is None:
        raise CellzooError("board: name the folder to write the leaderboard into with --out DIR")
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
            raise CellzooError(f"--also {name!r}: is not a file format; choose from {', '.join(FORMATS)}")
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
        raise CellzooError("board --compare: give two results folders, first the old one, then the new one")
    before, after = (
        build_board(collect([results], skip_bad=options.skip_bad), options.title) for results in options.results
    )
    sys.stdout.write(printable(compare_boards(before, after)))
    return 0


COMMAND = Command(
    name="board",
    summary="make a leaderboard of results, check or compare them",
    description=_DESCRIPTION,
    examples=(
        "  cellzoo board results --out board               one results folder\n"
        "  cellzoo board mine theirs --out board           several, each result counted once\n"
        '  cellzoo board results --out board --title "WNUT-17, November"\n'
        "  cellzoo board results --out board --skip-bad    leave out invalid files and list them\n"
        "  cellzoo board results --out board --also json,csv,latex\n"
        "  cellzoo board results --out board --also plots  PDF and PNG of every plot, for papers and slides\n"
        "  cellzoo board results --check                   check the records and their per-item files\n"
        "  cellzoo board results --check --snapshot results.json    also that no result was lost or changed\n"
        "  cellzoo board --compare before after            what changed, for a pull request"
    ),
    configure=_configure,
    execute=_execute,
)

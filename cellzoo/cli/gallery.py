"""`cellzoo gallery`: the zoo on one page."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cellzoo.catalog import list_cells
from cellzoo.cli.cells import readable
from cellzoo.cli.command import Command
from cellzoo.errors import CellError, unknown
from cellzoo.system.paths import path_option
from cellzoo.system.text import printable

if TYPE_CHECKING:
    import argparse


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "pattern", nargs="?", default="*", help="only cells whose name matches, such as 'darts*'"
    )
    parser.add_argument(
        "--out", type=path_option("--out"), required=True, metavar="DIR", help="folder to write the pages into"
    )

    parser.add_argument(
        "--markdown",
        action="store_true",
        help="write one Markdown page for each cell, with an index, instead of one HTML page",
    )


def _execute(options: argparse.Namespace) -> int:
    from cellzoo.gallery import PAGE, render_gallery
    from cellzoo.system.atomic import output_errors, write_atomically

    names = list_cells(options.pattern)
    if not names:
        raise unknown("cell or pattern", options.pattern[:80], list_cells())
    entries = list(readable(names))
    if not entries:
        raise CellError(f"none of the cells that match {options.pattern[:80]!r} can be loaded")
    with output_errors(options.out):
        options.out.mkdir(parents=True, exist_ok=True)
    if options.markdown:
        from cellzoo.gallery.markdown import INDEX, render_pages

        for name, text in render_pages(entries):
            write_atomically(options.out / name, text.encode())
        sys.stdout.write(printable(f"{options.out / INDEX}\n"))
        return 0
    page = options.out / PAGE
    write_atomically(page, render_gallery(entries).encode())
    sys.stdout.write(printable(f"{page}\n"))
    return 0


COMMAND = Command(
    name="gallery",
    summary="write a page with pictures of all cells",
    description="Write one self-contained HTML page with the picture, the source and the published numbers of "
    "each\ncell, or one Markdown page for each cell, for use in documentation.",
    examples="  cellzoo gallery --out gallery\n  cellzoo gallery 'darts*' --out gallery\n"
    "  cellzoo gallery --markdown --out docs/cells",
    configure=_configure,
    execute=_execute,
)

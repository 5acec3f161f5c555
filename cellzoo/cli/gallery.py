"""`cellzoo gallery`: the zoo on one page."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cellzoo.catalog import entry, list_cells
from cellzoo.cli.command import Command
from cellzoo.errors import unknown
from cellzoo.system.paths import path_option

if TYPE_CHECKING:
    import argparse


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pattern", nargs="?", default="*", help="shell pattern, such as 'darts*'")
    parser.add_argument(
        "--out", type=path_option("--out"), required=True, metavar="DIR", help="folder to write the page into"
    )


def _execute(options: argparse.Namespace) -> int:
    from cellzoo.gallery import PAGE, render_gallery
    from cellzoo.system.atomic import output_errors, write_atomically

    names = list_cells(options.pattern)
    if not names:
        raise unknown("cell or pattern", options.pattern[:80], list_cells())
    with output_errors(options.out):
        options.out.mkdir(parents=True, exist_ok=True)
    page = options.out / PAGE
    write_atomically(page, render_gallery([entry(name) for name in names]).encode())
    sys.stdout.write(f"{page}\n")
    return 0


COMMAND = Command(
    name="gallery",
    summary="write a page with pictures of all cells",
    description="Write one self-contained HTML page with a picture, the source and the numbers of each cell.",
    examples="  cellzoo gallery --out gallery\n  cellzoo gallery 'darts*' --out gallery",
    configure=_configure,
    execute=_execute,
)

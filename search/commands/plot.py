"""`cellzoo plot`: draw the course of a search."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cellzoo.cli.command import Command
from cellzoo.system.text import printable

if TYPE_CHECKING:
    import argparse

_DESCRIPTION = """\
Plot the progress of a search, finished or still running, as trajectory.html and trajectory.svg in its folder:
the losses, how clearly the search prefers its choices, and the cell derived at each point; for a sampler, the
score of each candidate.
"""
_EXAMPLES = """\
  cellzoo plot darts                            all searches below the output folder of `cellzoo search`
  cellzoo plot darts/searches/darts-ptb-s0-1a2b3c    one of them
"""


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", metavar="DIR", help="output folder of a search, or the folder of one search in it"
    )


def _execute(options: argparse.Namespace) -> int:
    from cellzoo.system.paths import typed_path
    from search.plot.write import search_folders, write_plot

    for folder in search_folders(typed_path(options.folder, "DIR")):
        sys.stdout.writelines(printable(f"{path}\n") for path in write_plot(folder))
    return 0


COMMAND = Command(
    name="plot",
    summary="plot the progress of a search",
    description=_DESCRIPTION,
    examples=_EXAMPLES,
    configure=_configure,
    execute=_execute,
)

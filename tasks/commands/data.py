"""`cellzoo data`: where the data sets are, and whether they are the known ones."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cellzoo.cli.command import Command
from cellzoo.errors import DataError, DataNotFoundError, unknown

if TYPE_CHECKING:
    import argparse

_DESCRIPTION = """\
Show where each data set is, or check it.

  where   print the place of every file, or what is missing
  check   also read every file and compare its sha256 and its counts with the known ones

Original files are looked for in the folder given by --data, then in the one that the variable
CELLZOO_DATA names; some data sets are shipped by the package gensim, one is generated.

Exit code 3: a file is not the known one, or a data set named on the command line is missing.
"""


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action", nargs="?", default="where", choices=("where", "check"), help="what to do; where by default"
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="data sets; all when none is named")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder with original files (wnut17/, glove/)")


def _execute(options: argparse.Namespace) -> int:
    from tasks.data.known import KNOWN
    from tasks.data.locate import require_folder

    for name in options.names:
        if name not in KNOWN:
            raise unknown("data set", name[:80], KNOWN)
    if options.data is not None:
        require_folder(options.data)
    code = 0
    for name in dict.fromkeys(options.names or KNOWN):
        try:
            lines = _lines(name, options.data, options.action == "check")
        except DataNotFoundError as error:
            lines = [f"{name}: missing", *str(error).splitlines()]
            code = DataError.exit_code if options.names else code
        except DataError as error:
            lines = [f"{name}: wrong", *str(error).splitlines()]
            code = DataError.exit_code
        sys.stdout.write("\n    ".join(lines) + "\n")
    return code


def _lines(name: str, folder: Path | None, check: bool) -> list[str]:
    from tasks.data.check import check as read_all
    from tasks.data.known import KNOWN
    from tasks.data.locate import find

    found = find(name, folder)
    lines = [f"{name}: found ({found.origin}), {KNOWN[name].title}"]
    if check:
        return [*lines, *read_all(found), "sha256 of every part as known"]
    return lines + [f"{role}: {path}" for role, path in found.files.items()]


COMMAND = Command(
    name="data",
    summary="show where the data sets are, and check them",
    description=_DESCRIPTION,
    examples="  cellzoo data where\n  cellzoo data check wnut17 glove-6b-50d --data DIR",
    configure=_configure,
    execute=_execute,
)

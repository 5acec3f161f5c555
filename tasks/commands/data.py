"""`cellzoo data`: where the data sets are, and whether they are the known ones."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cellzoo.cli.command import Command
from cellzoo.errors import DataError, DataNotFoundError
from cellzoo.system.paths import path_option

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

_DESCRIPTION = """\
Show where each data set is, or check it.

  where   print the place of every file, or what is missing
  check   also count what every file holds and compare it with the published numbers

Original files are looked for in the folder given by --data, then in the one that the variable
CELLZOO_DATA names; some data sets are shipped by the package gensim, one by cellzoo itself. A data set is
also named by the path of its file (.toml), or as text:FILE or conll:FILE.

Exit code 3: a file is damaged or has other counts than published, or a data set that was named is missing.
"""


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "words",
        nargs="*",
        metavar="[where|check] NAME",
        help="what to do, where by default, and with which data sets; all when none is named",
    )
    parser.add_argument(
        "--data",
        type=path_option("--data"),
        metavar="DIR",
        help="folder with original files (wnut17/, glove/)",
    )


def _execute(options: argparse.Namespace) -> int:
    from tasks.data.catalog import set_names
    from tasks.data.locate import require_folder

    if options.data is not None:
        require_folder(options.data)
    action, names = "where", options.words
    if names and names[0] in ("where", "check"):
        action, *names = names
    code = 0
    for name in dict.fromkeys(names or set_names()):
        try:
            lines = _lines(name, options.data, action == "check")
        except DataNotFoundError as error:
            lines = [f"{name}: missing", *str(error).splitlines()]
            code = DataError.exit_code if names else code
        except DataError as error:
            lines = [f"{name}: wrong", *str(error).splitlines()]
            code = DataError.exit_code
        sys.stdout.write("\n    ".join(lines) + "\n")
    return code


def _lines(name: str, folder: Path | None, check: bool) -> list[str]:
    from tasks.data.check import check as count
    from tasks.data.locate import find

    found = find(name, folder)
    lines = [f"{name}: found ({found.origin}), {found.data_set.title}"]
    if check:
        published = "its content is the published one" if found.data_set.sha256 and not found.notes else ""
        return [*lines, *count(found), *found.notes, *([published] if published else [])]
    return lines + [f"{role}: {part}" for role, part in found.parts.items()]


COMMAND = Command(
    name="data",
    summary="show where the data sets are, and check them",
    description=_DESCRIPTION,
    examples="  cellzoo data where\n  cellzoo data check wnut17 glove-6b-50d --data DIR",
    configure=_configure,
    execute=_execute,
)

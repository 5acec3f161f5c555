"""`cellzoo table`: NAS-Bench-NLP as a table that is asked, searched in and compared on."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from cellzoo.cli.command import Command
from cellzoo.errors import CellzooError, unknown

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from search.benchmark.table import Table

_DESCRIPTION = """\
The published trainings of NAS-Bench-NLP (Klyuchnikov et al. 2020) as one file.

  build   make the file from the published ones in --data DIR, and further logs named by --logs
  show    what the file has; with RECIPE, what is known of one: by its number, hash, or the recipe itself
"""
_EXAMPLES = """\
  cellzoo table build --data DIR                  the file nas-bench-nlp.npz, in a second
  cellzoo table show                              what it has
  cellzoo table show 7537 --epoch 10              losses and seconds of one recipe after 10 epochs

exit codes:
  0 done   2 bad input or usage   3 data missing or malformed   5 the output cannot be written
"""
_DEFAULT_TABLE = "nas-bench-nlp.npz"


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", metavar="ACTION", help=", ".join(_ACTIONS))
    parser.add_argument("recipes", metavar="RECIPE", nargs="*", help="number, hash or recipe, for show")
    parser.add_argument("--table", default=_DEFAULT_TABLE, metavar="FILE", help=f"default {_DEFAULT_TABLE}")
    parser.add_argument("--data", metavar="DIR", help="folder with nas-bench-nlp and nas-bench-nlp-ptb in it")
    parser.add_argument(
        "--logs", action="append", default=[], metavar="ZIP|DIR", help="further logs; repeatable"
    )
    parser.add_argument("--clock", default="corrected", metavar="CLOCK", help="released, corrected or retimed")
    parser.add_argument("--epoch", metavar="N", help="for show: after which epoch; default the last")


def _execute(options: argparse.Namespace) -> int:
    if options.action not in _ACTIONS:
        raise unknown("action of table", options.action[:80], _ACTIONS)
    return _ACTIONS[options.action](options)


def _build(options: argparse.Namespace) -> int:
    import os

    from cellzoo.system.paths import typed_path
    from search.benchmark.build import build_table
    from tasks.data.locate import VARIABLE, require_folder

    folder = options.data or os.environ.get(VARIABLE)
    data = None if not folder else typed_path(folder, "--data")
    if data is not None:
        require_folder(data)
    table = build_table(data, [typed_path(path, "--logs") for path in options.logs])
    path = typed_path(options.table, "--table")
    table.write(path)
    _say(*_contents(table), f"written to {path}")
    return 0


def _show(options: argparse.Namespace) -> int:
    table = _table(options)
    if not options.recipes:
        _say(*_contents(table))
        return 0
    from search.benchmark.show import describe
    from search.benchmark.timing import make_clock

    epoch = None if options.epoch is None else _whole("--epoch", options.epoch, 10_000)
    clock = make_clock(table, options.clock)
    for recipe in options.recipes:
        _say(*describe(table, table.find(recipe), clock, epoch))
    return 0


def _table(options: argparse.Namespace) -> Table:
    from cellzoo.system.paths import typed_path
    from search.benchmark.table import Table

    return Table.read(typed_path(options.table, "--table"))


def _contents(table: Table) -> list[str]:
    from search.benchmark.show import contents

    return contents(table)


def _whole(option: str, text: str, most: int) -> int:
    if not re.fullmatch(r"\d{1,10}", text.strip(), re.ASCII) or not 1 <= int(text) <= most:
        raise CellzooError(f"{option} {text!r:.40}: expected a whole number from 1 to {most}")
    return int(text)


def _say(*lines: str) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)


_ACTIONS: dict[str, Callable[[argparse.Namespace], int]] = {"build": _build, "show": _show}

COMMAND = Command(
    name="table",
    summary="published trainings of NAS-Bench-NLP as a table",
    description=_DESCRIPTION,
    examples=_EXAMPLES,
    configure=_configure,
    execute=_execute,
)

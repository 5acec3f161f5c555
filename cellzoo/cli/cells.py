"""`cellzoo cells`: the catalog as a table."""

from __future__ import annotations

import json
import shutil
import sys
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING

from cellzoo.catalog import CellEntry, entry, list_cells
from cellzoo.cli.command import Command
from cellzoo.errors import UnknownNameError, unknown
from cellzoo.families import FAMILIES
from cellzoo.notations import NOTATIONS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

HAND_DESIGNED = "hand-designed"
SIZE = 256
_GAP = "  "
_MIN_WIDTH = 60
_MAX_NAME, _MAX_SEARCHED, _WIDE = 26, 18, 100


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pattern", nargs="?", default="*", help="shell pattern, such as 'darts*'")
    parser.add_argument("--notation", metavar="N", help=f"only cells written in it: {', '.join(NOTATIONS)}")
    parser.add_argument(
        "--searched-on", metavar="TEXT", help=f"only cells searched on this, such as PTB, or {HAND_DESIGNED}"
    )
    parser.add_argument("--states", type=_count, metavar="K", help="only cells with K states")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--names", action="store_true", help="print the names alone, one a line")
    form.add_argument("--json", action="store_true", help="print one JSON object a line")


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise ArgumentTypeError(f"{text!r:.40} is no number of states; expected 1 or more")
    return int(text)


def _execute(options: argparse.Namespace) -> int:
    filters = _filters(options)
    names = list_cells(options.pattern)
    if not names:
        raise unknown("cell or pattern", options.pattern[:80], list_cells())
    if options.names and not filters:
        sys.stdout.writelines(f"{name}\n" for name in names)
        return 0
    entries = [found for found in map(entry, names) if _is_wanted(found, options)]
    if not entries:
        raise UnknownNameError(
            f"none of the {len(names)} cells that match {options.pattern[:80]!r} has {' and '.join(filters)}"
        )
    if options.names:
        sys.stdout.writelines(f"{found.name}\n" for found in entries)
    elif options.json:
        sys.stdout.writelines(json.dumps(_row(found)) + "\n" for found in entries)
    else:
        width = max(_MIN_WIDTH, shutil.get_terminal_size().columns)
        sys.stdout.writelines(f"{line}\n" for line in _table(entries, width))
        if not filters and options.pattern == "*":
            sys.stdout.writelines(f"{line}\n" for line in _families(width))
    return 0


def _filters(options: argparse.Namespace) -> list[str]:
    """The filters in words.

    Raises:
        UnknownNameError: No such notation.
    """
    if options.notation is not None and options.notation not in NOTATIONS:
        raise unknown("notation", options.notation[:80], NOTATIONS)
    given = {
        "the notation": options.notation,
        "been searched on": options.searched_on,
        "the number of states": options.states,
    }
    return [f"{what} {str(value)[:80]!r}" for what, value in given.items() if value is not None]


def _is_wanted(found: CellEntry, options: argparse.Namespace) -> bool:
    wanted = options.searched_on
    return (
        options.notation in (None, found.notation)
        and (wanted is None or wanted.casefold() in _searched_on(found).casefold())
        and options.states in (None, len(found.cell.states))
    )


def _searched_on(found: CellEntry) -> str:
    return found.searched_on or HAND_DESIGNED


def _row(found: CellEntry) -> dict[str, object]:
    return {
        "name": found.name,
        "aliases": list(found.aliases),
        "notation": found.notation,
        "states": len(found.cell.states),
        "nodes": len(found.cell.live_nodes),
        "parameters": found.cell.num_parameters(input_size=SIZE, hidden_size=SIZE),
        "hash": found.cell.hash,
        "searched_on": found.searched_on,
        "source": found.source,
        "published": [dict(row) for row in found.published],
        "origin": found.origin,
    }


def _table(entries: Sequence[CellEntry], width: int) -> Iterator[str]:
    """One line a cell, the last column cut to the width; a longer name stands on a line of its own."""
    name_width = max(4, min(_MAX_NAME, max(len(found.name) for found in entries)))
    is_wide = width >= _WIDE
    yield _line(name_width, width, is_wide, "cell", "params", "states", "searched on", "from").rstrip()
    for found in entries:
        size = _short(found.cell.num_parameters(input_size=SIZE, hidden_size=SIZE))
        name = found.name
        if len(name) > name_width:
            yield name
            name = ""
        states = str(len(found.cell.states))
        yield _line(name_width, width, is_wide, name, size, states, _searched_on(found), found.paper).rstrip()
    yield ""
    counted = "1 cell" if len(entries) == 1 else f"{len(entries)} cells"
    yield f"{counted}. Params: parameters at input and hidden size {SIZE}."


def _line(
    name_width: int, width: int, is_wide: bool, name: str, size: str, states: str, searched: str, paper: str
) -> str:
    parts = [f"{name:<{name_width}}", f"{size:>6}", f"{states:>6}"]
    if is_wide:
        parts.append(f"{_cut(searched, _MAX_SEARCHED):<{_MAX_SEARCHED}}")
    start = _GAP.join(parts) + _GAP
    return start + _cut(paper, width - len(start))


def _short(count: int) -> str:
    """A count in three digits or a little more: 512, 66K, 1.31M."""
    if count < 1000:
        return str(count)
    return f"{count / 1e3:.0f}K" if count < 999_500 else f"{count / 1e6:.2f}M"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3].rstrip() + "..."


def _families(width: int) -> Iterator[str]:
    yield "Families, with a member for each seed:"
    for family in FAMILIES:
        yield _cut(f"  {family.pattern}  {family.summary}", width)


COMMAND = Command(
    name="cells",
    summary="list the cells of the zoo",
    description=f"List the cells of the catalog, with parameters at input and hidden size {SIZE}.",
    examples="  cellzoo cells\n  cellzoo cells 'darts*' --names\n  cellzoo cells --states 2 --searched-on PTB\n"
    "  cellzoo cells --notation equations --json",
    configure=_configure,
    execute=_execute,
)

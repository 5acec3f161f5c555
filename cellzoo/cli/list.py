"""`cellzoo list`: the names of cells, tasks and other kinds that installed packages register."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from argparse import ArgumentTypeError
from fnmatch import fnmatchcase
from functools import cache
from typing import TYPE_CHECKING, Any

from cellzoo.cli.command import Command
from cellzoo.cli.listing import Item, Kind
from cellzoo.errors import CellzooError, UnknownNameError, unknown
from cellzoo.system.plugins import leave_out, plugins
from cellzoo.system.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

GROUP = "cellzoo.lists"
_GAP = "  "
_MIN_WIDTH = 60
# In a terminal: the largest width of the first column and of the middle ones, and the smallest of the last.
# Where there is less room for the last, middle columns are left out.
_MAX_NAME, _MAX_COLUMN, _MIN_LAST = 26, 18, 16


@cache
def find_kinds() -> dict[str, Kind]:
    """Load the kinds of the entry-point group `cellzoo.lists`, by name."""
    kinds: dict[str, Kind] = {}
    for name, kind, package in plugins(GROUP):
        if not isinstance(kind, Kind):
            leave_out(GROUP, name, package, f"expected a Kind, not {type(kind).__name__}")
        elif kind.name in kinds:
            leave_out(GROUP, name, package, f"there are {kind.name} already")
        else:
            kinds[kind.name] = kind
    return dict(sorted(kinds.items()))


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "\n".join([f"{parser.description}", "", "kinds:", *_kinds(find_kinds())])
    parser.add_argument("kind", nargs="?", metavar="KIND", help="one of the kinds above (default: all)")
    parser.add_argument(
        "pattern", nargs="?", default="*", metavar="PATTERN", help="shell pattern of names, such as 'darts*'"
    )
    parser.add_argument(
        "--all", action="store_true", help="list every cell instead of one line for each family"
    )
    parser.add_argument(
        "--where",
        action="append",
        default=[],
        type=_condition,
        metavar="FIELD=TEXT",
        help="only entries whose field (see --json) contains this text or number; repeatable",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--names", action="store_true", help="print only the names, one per line")
    form.add_argument("--json", action="store_true", help="print one JSON object per line")


def _kinds(kinds: Mapping[str, Kind]) -> list[str]:
    return [f"  {name:<10}{kind.summary}" for name, kind in kinds.items()]


def _condition(text: str) -> tuple[str, str]:
    field, sign, wanted = text.partition("=")
    if not field or not sign or not wanted:
        raise ArgumentTypeError(f"{text!r:.80} is not FIELD=TEXT, such as states=2")
    return field, wanted


def _execute(options: argparse.Namespace) -> int:
    kinds = find_kinds()
    if options.kind is None:
        sys.stdout.writelines(f"{line}\n" for line in _kinds(kinds))
        return 0
    if options.kind not in kinds and options.pattern in kinds:
        options.kind, options.pattern = options.pattern, options.kind
    if options.kind not in kinds:
        raise unknown("kind of list", options.kind[:80], kinds)
    kind = kinds[options.kind]
    is_whole = options.pattern == "*" and not (options.all or options.where or options.names or options.json)
    if is_whole and kind.overview is not None:
        width = _output_width()
        sys.stdout.writelines(f"{printable(_cut(line, width))}\n" for line in kind.overview())
        return 0
    known = sorted(kind.names())
    names = [name for name in known if fnmatchcase(name, options.pattern)]
    if not names:
        raise unknown(f"name or pattern among the {kind.name}", options.pattern[:80], known)
    if options.names and not options.where:
        sys.stdout.writelines(f"{printable(name)}\n" for name in names)
        return 0
    items = [item for item in _items(kind, names) if all(_fits(item, *pair) for pair in options.where)]
    if not items:
        conditions = " and ".join(f"{field}={wanted}" for field, wanted in options.where)
        raise UnknownNameError(
            f"none of the {len(names)} {kind.name} that match {options.pattern[:80]!r} has {conditions[:200]}"
        )
    if options.names:
        sys.stdout.writelines(f"{printable(item.name)}\n" for item in items)
    elif options.json:
        sys.stdout.writelines(
            json.dumps({"name": item.name, **item.fields}, default=str) + "\n" for item in items
        )
    else:
        sys.stdout.writelines(f"{printable(line)}\n" for line in _lines(kind, items, _output_width()))
    return 0


def _output_width() -> int | None:
    """The columns that lines are cut to: those of the terminal; None, without a limit, for a pipe or a file."""
    # COLUMNS is the convention by which a user says the width himself.
    if not sys.stdout.isatty() and not os.environ.get("COLUMNS", "").isdecimal():
        return None
    return max(_MIN_WIDTH, shutil.get_terminal_size().columns)


def _items(kind: Kind, names: Iterable[str]) -> Iterator[Item]:
    """Describe entries by name; one that cannot be read is skipped with a warning on standard error."""
    for name in names:
        try:
            yield kind.item(name)
        except CellzooError as error:
            sys.stderr.write(printable(f"cellzoo: warning: {name} is left out: {error}\n"))


def _fits(item: Item, field: str, wanted: str) -> bool:
    """Whether a field contains a text, ignoring case, or equals a number.

    Raises:
        UnknownNameError: There is no such field.
    """
    if field not in item.fields:
        raise unknown("field", field[:80], item.fields)
    value: Any = item.fields[field]
    if isinstance(value, int | float):
        return str(value) == wanted
    texts = value if isinstance(value, list | tuple) else [value]
    return any(wanted.casefold() in str(text).casefold() for text in texts if text is not None)


def _lines(kind: Kind, items: Sequence[Item], width: int | None) -> Iterator[str]:
    """A table with a line for each item and notes below it, cut to the width.

    A name that is too long for its column has a line of its own. Nothing is cut where `width` is None.
    """
    rows = [(kind.name, *kind.headings), *((item.name, *item.columns) for item in items)]
    widths = [max(map(len, column)) for column in list(zip(*rows, strict=True))[:-1]]
    if width is not None:
        limits = [_MAX_NAME, *[_MAX_COLUMN] * (len(widths) - 1)]
        widths = list(map(min, widths, limits))
        while len(widths) > 1 and sum(widths) + len(_GAP) * len(widths) + _MIN_LAST > width:
            del widths[-1]
    for name, *columns in rows:
        if len(name) > widths[0]:
            yield name
            name = ""
        texts = [f"{_cut(text, space):<{space}}" for text, space in zip((name, *columns), widths, strict=False)]
        start = _GAP.join(texts) + _GAP
        yield (start + _cut(columns[-1], None if width is None else width - len(start))).rstrip()
    yield ""
    noun = kind.counted or kind.name
    yield f"{len(items)} {noun if len(items) != 1 else noun.removesuffix('s')}."
    yield from (_cut(line, width) for line in kind.notes())


def _cut(text: str, width: int | None) -> str:
    return text if width is None or len(text) <= width else text[: max(0, width - 3)].rstrip() + "..."


COMMAND = Command(
    name="list",
    summary="list cells, tasks, suites, methods, presets or data sets",
    description="List everything of one kind by name, with a short description.",
    examples="  cellzoo list cells\n  cellzoo list cells --all\n  cellzoo list cells 'darts*' --names\n"
    "  cellzoo list cells --where family=hand-designed\n"
    "  cellzoo list cells --where states=2 --where searched_on=PTB\n"
    "  cellzoo list cells --where notation=equations --json",
    configure=_configure,
    execute=_execute,
)

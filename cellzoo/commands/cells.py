"""`cellzoo cells`: the catalog as a table."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from cellzoo.catalog import CellEntry, entry, list_cells
from cellzoo.command import Command
from cellzoo.errors import unknown
from cellzoo.families import FAMILIES

if TYPE_CHECKING:
    import argparse


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pattern", nargs="?", default="*", help="shell pattern, such as 'darts*'")
    parser.add_argument("--names", action="store_true", help="print the names alone, one a line")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")


def _execute(options: argparse.Namespace) -> int:
    names = list_cells(options.pattern)
    if not names:
        raise unknown("cell or pattern", options.pattern[:80], list_cells())
    if options.names:
        sys.stdout.writelines(f"{name}\n" for name in names)
    elif options.json:
        sys.stdout.writelines(json.dumps(_row(entry(name))) + "\n" for name in names)
    else:
        _print_table([entry(name) for name in names])
    return 0


def _row(found: CellEntry) -> dict[str, object]:
    return {
        "name": found.name,
        "notation": found.notation,
        "states": len(found.cell.states),
        "nodes": len(found.cell.live_nodes),
        "hash": found.cell.hash,
        "searched_on": found.searched_on,
        "source": found.source,
    }


def _print_table(entries: list[CellEntry]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("cell", "parameters at 256", "searched on", "source"):
        table.add_column(title, justify="right" if title.startswith("parameters") else "left")
    for found in entries:
        size = found.cell.num_parameters(input_size=256, hidden_size=256)
        table.add_row(found.name, f"{size:,}", found.searched_on or "hand-designed", found.source)
    for family in FAMILIES:
        table.add_row(family.pattern, "", "drawn at random", family.summary)
    Console(soft_wrap=False).print(table)


COMMAND = Command(
    name="cells",
    summary="list the cells of the zoo",
    description="List the cells of the catalog, with parameters at input and hidden size 256.",
    examples="  cellzoo cells\n  cellzoo cells 'darts*' --names\n  cellzoo cells --json",
    configure=_configure,
    execute=_execute,
)

"""`cellzoo show`: one cell in full, or its picture, equations, diagram or graph alone."""

from __future__ import annotations

import shlex
import shutil
import sys
import textwrap
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING

from cellzoo.catalog import entry, same_graph
from cellzoo.cli.command import Command
from cellzoo.shelves import shelf_of
from cellzoo.system.paths import path_option, typed_path
from cellzoo.system.plugins import plugins
from cellzoo.system.text import printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path

    from cellzoo.cells.cell import Cell
    from cellzoo.entry import CellEntry

STANDARD_OUTPUT = "-"
GROUP = "cellzoo.worth"
_INDENT = 13
_MIN_WIDTH = 40


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="a cell's name, or a cell file (.toml)")
    parser.add_argument(
        "--input-size", type=_size, default=256, metavar="E", help="input size for the counts (default: 256)"
    )
    parser.add_argument(
        "--hidden-size", type=_size, default=256, metavar="H", help="hidden size for the counts (default: 256)"
    )
    parser.add_argument(
        "--level",
        choices=("overview", "full"),
        default="overview",
        help="pictures and diagrams: overview (default) draws common groups of nodes, such as gates, "
        "as one box; full draws every node",
    )
    parser.add_argument(
        "--results",
        action="append",
        default=[],
        type=path_option("--results"),
        metavar="DIR",
        help="also show the results of the cell in this results folder, compared with other cells; repeatable",
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--svg", metavar="FILE", help="write the picture to a file; - is standard output")
    instead.add_argument("--equations", action="store_true", help="print only the equations")
    instead.add_argument("--latex", action="store_true", help="print the equations in LaTeX (amsmath)")
    instead.add_argument("--mermaid", action="store_true", help="print a Mermaid flowchart, for Markdown")
    instead.add_argument(
        "--plan", action="store_true", help="print the execution plan of the engines: kernels, FLOPs, memory"
    )
    instead.add_argument(
        "--plan-diagram", action="store_true", help="print the execution plan as a Mermaid flowchart"
    )
    instead.add_argument("--json", action="store_true", help="print only the graph, as JSON")


def _size(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1_000_000:
        raise ArgumentTypeError(f"{text!r:.40} is not a size; expected 1 to 1000000")
    return int(text)


def _execute(options: argparse.Namespace) -> int:
    from cellzoo import draw

    found = entry(options.name)
    cell = found.cell
    if options.svg is not None:
        text = _write_picture(draw.svg(cell, options.level), options.svg)
    elif options.equations:
        text = draw.equations(cell)
    elif options.latex:
        text = draw.latex(cell)
    elif options.mermaid:
        text = draw.mermaid(cell, options.level)
    elif options.plan or options.plan_diagram:
        text = _plan(cell, options)
    elif options.json:
        text = cell.to_json() + "\n"
    else:
        lines = [*_lines(found, options), *_worth(cell, options.results)]
        text = "".join(f"{line}\n" for line in lines)
    sys.stdout.write(printable(text))
    return 0


def _worth(cell: Cell, results: list[Path]) -> Iterator[str]:
    """The cell's results in records, from the installed packages that read records."""
    if not results:
        return
    yield ""
    yield "results in the records given"
    for _, function, _ in plugins(GROUP):
        for line in function(cell, results):
            first, *others = textwrap.wrap(line, max(_MIN_WIDTH, shutil.get_terminal_size().columns) - 4)
            yield from (f"  {first}", *(f"    {other}" for other in others))


def _plan(cell: Cell, options: argparse.Namespace) -> str:
    from cellzoo.runtime.description import describe, diagram
    from cellzoo.runtime.plan import build_plan, plan_sizes

    plan = build_plan(cell)
    if options.plan_diagram:
        return diagram(plan)
    return describe(plan, plan_sizes(plan, input_size=options.input_size, hidden_size=options.hidden_size))


def _write_picture(picture: str, target: str) -> str:
    """Write the picture to a file and return its path, or return the picture for standard output."""
    from cellzoo.system.atomic import write_atomically

    if target == STANDARD_OUTPUT:
        return picture
    path = typed_path(target, "--svg")
    write_atomically(path, picture.encode())
    return f"{path}\n"


def _lines(found: CellEntry, options: argparse.Namespace) -> Iterator[str]:
    """The whole description of a cell."""
    from cellzoo import draw
    from cellzoo.draw.counts import parameter_formula
    from cellzoo.runtime.recurrence import describe

    cell, input_size, hidden_size = found.cell, options.input_size, options.hidden_size
    yield f"{found.name}  ({found.origin}, {found.notation})"
    yield ""
    for title, text in _provenance(found):
        yield from _field(title, text)
    for number, result in enumerate(found.results):
        yield from _field("" if number else "published", result)
    rules = ", ".join(f"{selector} = {rule}" for selector, rule in found.init.items())
    start = f"{rules} (init=published)" if rules else found.init_source and "uniform in ±1 / sqrt(H)"
    yield from _field("starts as", "; ".join(filter(None, (start, found.init_source))))
    states = ", ".join(state.name for state in cell.states)
    yield from _field("states", f"{len(cell.states)} ({states})")
    yield from _field("nodes", str(len(cell.live_nodes)))
    parameters = cell.num_parameters(input_size=input_size, hidden_size=hidden_size)
    at = f"at E = {input_size:,} inputs and H = {hidden_size:,} units"
    yield from _field("parameters", f"{parameters:,} = {parameter_formula(cell)} {at}")
    flops = cell.flops(input_size=input_size, hidden_size=hidden_size)
    yield from _field("FLOPs", f"{flops:,} a token")
    yield from _field("recurrence", describe(cell))
    yield from _field("hash", cell.hash)
    yield ""
    yield "equations"
    yield from (f"  {line}" for line in draw.equations(cell).splitlines())
    yield ""
    yield "genotype"
    yield from (f"  {line}" for line in found.genotype.strip().splitlines())
    yield ""
    yield f"picture: cellzoo show {shlex.quote(options.name)} --svg {found.name}.svg"


def _provenance(found: CellEntry) -> Iterator[tuple[str, str]]:
    yield "also called", ", ".join(found.aliases)
    yield "family", shelf_of(found).name
    yield "source", found.source
    yield "searched on", found.searched_on
    yield "licence", found.licence
    yield "confidence", found.confidence
    yield "notes", found.notes
    yield "same graph", ", ".join(name for name in same_graph(found.cell) if name != found.name)


def _field(title: str, text: str) -> list[str]:
    """A text with a title, wrapped to the width of the terminal."""
    if not text:
        return []
    width = max(_MIN_WIDTH, shutil.get_terminal_size().columns) - _INDENT
    first, *others = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]
    return [f"{title:<{_INDENT}}{first}", *(" " * _INDENT + line for line in others)]


COMMAND = Command(
    name="show",
    summary="show one cell: where it comes from, its equations, its counts, its picture",
    description="Show a cell's provenance, published numbers, counts and equations, or draw it.",
    examples="  cellzoo show darts-v2\n  cellzoo show darts-v2 --svg darts-v2.svg\n"
    "  cellzoo show lstm --equations\n  cellzoo show gru --plan\n"
    "  cellzoo show random-darts-7 --mermaid --level full\n"
    "  cellzoo show found.toml --hidden-size 850\n  cellzoo show darts-v2 --results results",
    configure=_configure,
    execute=_execute,
)

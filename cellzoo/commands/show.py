"""`cellzoo show`: one cell in full."""

from __future__ import annotations

import sys
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING

from cellzoo.catalog import CellEntry, entry
from cellzoo.command import Command
from cellzoo.ops import LINEAR

if TYPE_CHECKING:
    import argparse

    from cellzoo.cell import Cell


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="a cell's name, or a cell file (.toml)")
    parser.add_argument("--input-size", type=_size, default=256, metavar="E", help="for the counts (256)")
    parser.add_argument("--hidden-size", type=_size, default=256, metavar="H", help="for the counts (256)")
    parser.add_argument("--json", action="store_true", help="print the graph as JSON and nothing else")


def _size(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1_000_000:
        raise ArgumentTypeError(f"{text!r:.40} is no size; expected 1 to 1000000")
    return int(text)


def _execute(options: argparse.Namespace) -> int:
    found = entry(options.name)
    if options.json:
        sys.stdout.write(found.cell.to_json() + "\n")
        return 0
    sizes = {"input_size": options.input_size, "hidden_size": options.hidden_size}
    at = f"at E {options.input_size}, H {options.hidden_size}"
    lines = [
        f"{found.name}  ({found.origin})",
        *_provenance(found),
        f"states      {', '.join(state.name for state in found.cell.states)}",
        f"parameters  {found.cell.num_parameters(**sizes):,}   {at}",
        f"FLOPs       {found.cell.flops(**sizes):,} a token",
        f"hash        {found.cell.hash}",
        "",
        *_steps(found.cell),
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _provenance(found: CellEntry) -> list[str]:
    fields = {
        "notation": found.notation,
        "genotype": found.genotype.strip().replace("\n", "\n            "),
        "source": found.source,
        "searched on": found.searched_on,
        "licence": found.licence,
        "confidence": found.confidence,
        "notes": found.notes,
    }
    lines = [f"{title:<11} {value}" for title, value in fields.items() if value]
    for row in found.published:
        numbers = ", ".join(f"{key} {value}" for key, value in row.items() if key != "by")
        lines.append(f"published   {numbers} ({row.get('by', 'no source given')})")
    return lines


def _steps(cell: Cell) -> list[str]:
    next_names = {state.next: f"{state.name}'" for state in cell.states}
    lines = []
    for node in cell.live_nodes:
        if node.op == LINEAR:
            terms = [f"{weight} {source}" for weight, source in zip(node.weights, node.inputs, strict=True)]
            right = " + ".join(terms + ([node.bias] if node.bias else []))
        else:
            right = f"{node.op}({', '.join((*node.inputs, *node.weights))})"
        name = next_names.get(node.name)
        lines.append(f"  {node.name} = {right}" + (f"    -> {name}" if name else ""))
    return lines


COMMAND = Command(
    name="show",
    summary="show one cell: where it comes from, its equations, its counts",
    description="Show a cell's provenance, published numbers, counts and steps.",
    examples="  cellzoo show darts-v2\n  cellzoo show random-darts-7\n"
    "  cellzoo show found.toml --hidden-size 850",
    configure=_configure,
    execute=_execute,
)

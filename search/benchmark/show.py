"""What a table has, and what it says of one recipe, in words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cellzoo.system.text import duration
from search.benchmark.logs import EPOCHS
from search.benchmark.table import SPLITS, UNIT

if TYPE_CHECKING:
    from cellzoo.cells.cell import Cell
    from search.benchmark.clock import Clock
    from search.benchmark.outside import Outside
    from search.benchmark.table import Architecture, Number, Table


def contents(table: Table) -> list[str]:
    """What was read, and what there is now, a line each."""
    lines = [
        f"{source['file']}: {source['entries']:,} entries, {source['is']} ({source['sha256'][:12]})"
        for source in table.sources
    ]
    for data in table.DATA:
        found = [one for one in table.architectures if table.runs(one, data)]
        runs = [run for one in found for run in table.runs(one, data)]
        with_epochs = sum(1 for run in runs if table.epochs(run))
        known = sum(1 for one in found if one.recipe)
        featured = sum(1 for one in found if table.features(one) is not None)
        finite = sum(1 for one in found if not all(table.diverged(run) for run in table.runs(one, data)))
        lines.append(
            f"{data}: {len(runs):,} runs of {len(found):,} recipes ({finite:,} with a run that ended well, "
            f"{known:,} whose graph is known, {featured:,} with features); every epoch of {with_epochs:,} runs"
        )
    return [*lines, *(f"note: {note}" for note in table.notes)]


def describe(table: Table, architecture: Architecture, clock: Clock, epoch: int | None) -> list[str]:
    """What is known of a recipe, a line each: every number with its split, epoch, unit and clock.

    Raises:
        CellzooError: A run has no such epoch.
    """
    graph = f", graph {architecture.hash[:12]}" if architecture.hash else ", graph not known"
    lines = [f"{architecture.number}{graph}; logs {', '.join(map(str, architecture.ids))}"]
    for data in table.DATA:
        for place, run in enumerate(table.runs(architecture, data)):
            length = table.epochs(run)
            at = (epoch or length) if length else (epoch or EPOCHS)
            numbers = [
                table.score(architecture, clock=clock, split=split, epoch=at, data=data, run=place)
                for split in (SPLITS if length else ("test",))
            ]
            lines.append(f"  {data}, {table.run_names[run]}, {table.parameters(run):,} parameters")
            lines.append(f"    after epoch {at}: {', '.join(map(_in_words, numbers))}{_took(numbers[0])}")
    if architecture.recipe:
        lines.append(f"  {architecture.recipe}")
    return lines


def describe_outside(outside: Outside, cell: Cell, epoch: int | None) -> list[str]:
    """What the rule says of a cell that the table does not have, or the table of one that it has.

    Raises:
        CellzooError: The rule is to refuse, or there is no such epoch.
    """
    at = epoch or EPOCHS
    numbers = [outside.score(cell, split=split, epoch=at) for split in ("valid", "test")]
    return [
        f"graph {cell.hash[:12]}",
        f"  {numbers[0].data} after epoch {at}: {', '.join(map(_in_words, numbers))}{_took(numbers[0])}",
        f"  {numbers[0].source}",
    ]


def _in_words(number: Number) -> str:
    if math.isnan(number.value):
        return f"{number.split} diverged"
    return f"{number.split} {number.value:.4f} {UNIT} (perplexity {math.exp(min(number.value, 700.0)):.5g})"


def _took(number: Number) -> str:
    if math.isnan(number.seconds):
        return ""
    return f"; {duration(number.seconds)} by the clock {number.clock}"

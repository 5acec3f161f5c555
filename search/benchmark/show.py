"""The contents of a table, and its numbers for one recipe, as text."""

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
    """The files that the table was built from, and its runs and recipes, one line each."""
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
    """The numbers of a recipe as lines, each with its split, epoch, unit and clock.

    Args:
        table: The table.
        architecture: The recipe.
        clock: Gives the training times.
        epoch: Of a log; by default its last. Runs of which only the final test loss was published show that.

    Raises:
        CellzooError: No log has such an epoch.
    """
    graph = f", graph {architecture.hash[:12]}" if architecture.hash else ", graph not known"
    lines = [f"{architecture.number}{graph}; logs {', '.join(map(str, architecture.ids))}"]
    runs = [run for data in table.DATA for run in table.runs(architecture, data)]
    longest = max(map(table.epochs, runs), default=0)
    for data in table.DATA:
        for place, run in enumerate(table.runs(architecture, data)):
            lines.append(f"  {data}, {table.run_names[run]}, {table.parameters(run):,} parameters")
            length = table.epochs(run)
            at = (epoch or length) if length else EPOCHS
            if 0 < length < at <= longest:
                lines.append(f"    the log ends after epoch {length}")
                continue
            numbers = [
                table.score(architecture, clock=clock, split=split, epoch=at, data=data, run=place)
                for split in (SPLITS if length else ("test",))
            ]
            lines.append(f"    after epoch {at}: {', '.join(map(_in_words, numbers))}{_took(numbers[0])}")
    if architecture.recipe:
        lines.append(f"  {architecture.recipe}")
    return lines


def describe_outside(outside: Outside, cell: Cell, epoch: int | None) -> list[str]:
    """The numbers of a cell as lines: from the table if it has the graph, or else by the rule of `outside`.

    Raises:
        CellzooError: The rule is `refuse`, or there is no such epoch.
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

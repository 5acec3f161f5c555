"""The figures of a case in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from cellzoo.bench.figures import BASES, PER_FLOP_BASE, lines

if TYPE_CHECKING:
    from cellzoo.bench.compare import Result, TimingSettings
    from cellzoo.bench.ratios import Quartiles

_WIDEST = 300
NOTE = (
    "Medians over the rounds of the time, and of its ratio to the others' in the same round; ± is half the "
    "distance between the quartiles, in percent. Per FLOP: time for each floating-point operation."
)
MEMORY_NOTE = (
    "Peak: the highest resident memory of a process of its own in such a pass, above what it had with weights "
    "and inputs."
)


def show(result: Result, settings: TimingSettings, console: Console) -> None:
    """Print the figures of a case."""
    rounds = len(next(iter(result.times.values())).seconds) if result.times else 0
    threads = "1 thread" if settings.threads == 1 else f"{settings.threads} threads"
    words = f"{result.case}: {settings.clock_name}, {threads}, {rounds} rounds"
    console.print(Text(words, style="bold"), soft_wrap=True)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for title in ("ms", "GFLOP/s", *(f"× {base}" for base in BASES)):
        table.add_column(title.replace(" products", "\nproducts"), justify="right", no_wrap=True)
        if title == f"× {PER_FLOP_BASE}":
            table.add_column("the same\nper FLOP", justify="right", no_wrap=True)
    if result.peaks:
        table.add_column("peak\nMB", justify="right", no_wrap=True)
        table.add_column("× loop", justify="right", no_wrap=True)
    for line in lines(result):
        cells = [f"{line.seconds.median * 1e3:.2f}", f"{line.flops_per_second / 1e9:.1f}"]
        for base in BASES:
            cells.append(_ratio(line.ratios.get(base)))
            if base == PER_FLOP_BASE:
                cells.append(_ratio(line.per_flop))
        if result.peaks:
            cells.append("" if line.peak is None else f"{line.peak / 1e6:.1f}")
            cells.append("" if line.peak_ratio is None else f"{line.peak_ratio:.3f}")
        table.add_row(line.name, *cells)
    # A table that is cut says nothing; one that is too wide for its window can still be read.
    natural = Measurement.get(console, console.options.update(width=_WIDEST), table).maximum
    Console(width=max(console.width, natural), file=console.file).print(table)
    for name, reason in result.left_out.items():
        console.print(Text(f"left out: {name}: {reason}", style="yellow"), soft_wrap=True)


def _ratio(found: Quartiles | None) -> str:
    if found is None:
        return "-"
    percent = 50 * (found.high - found.low) / found.median if found.median else 0.0
    return f"{found.median:.3f} ±{percent:.0f}%"

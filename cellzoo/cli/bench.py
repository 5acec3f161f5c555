"""`cellzoo bench`: how fast cells run here."""

from __future__ import annotations

import sys
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING

from cellzoo.bench.case import DTYPES
from cellzoo.bench.shapes import SHAPES, find_shapes
from cellzoo.catalog import entry
from cellzoo.cli.command import Command
from cellzoo.errors import RunError, unknown
from cellzoo.selection import expand_cells, split_cells
from cellzoo.system.paths import path_option

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from pathlib import Path

    from cellzoo.bench.case import Case
    from cellzoo.bench.compare import TimingSettings
    from cellzoo.bench.shapes import Shape

CELLS = "lstm,gru,darts-v2"
_PASSES = {"training": (True,), "inference": (False,), "both": (True, False)}
_MOST_THREADS, _MOST_ROUNDS = 1024, 10_000
_DESCRIPTION = f"""\
Time cells side by side in one process, in turns, and print the ratios.

Each cell runs by every engine, and against
  loop                 the Python loop that people write: for a DARTS genotype that of the DARTS code, for any
                       other cell one product for each input of each linear node
  nn.LSTM, nn.GRU      torch's own layers of the same sizes; also per floating-point operation
  torch.mm products    the cell's matrix products alone, joined as far as its graph allows
  best products        the same, each by the fastest of torch.mm and oneDNN

Times are CPU time of this process with one thread, wall-clock time with more. A round runs each once; what is
shown is the median over the rounds of the ratios within a round. A pass is one layer in one direction over
padded sequences; training adds the backward pass, for all weights and the input, and no optimizer.

Shapes (batch x steps x input size x hidden size): {", ".join(map(str, SHAPES.values()))}."""
_EXAMPLES = """\
  cellzoo bench                                        the default cells at shapes a to d
  cellzoo bench --cells darts-v2 --shape a --pass training
  cellzoo bench --cells 'nbnlp-*,mine.toml' --shape 20x70x400x600 --out bench.json
  cellzoo bench --cells darts-v2 --shape d --memory    also peak memory
  cellzoo bench --benchmark supernet --shape d --memory     a search step of DARTS
  cellzoo bench --dry-run                              what would be timed

exit codes:
  0 done   1 an engine named by --engines could not run a cell   2 bad input or usage
  5 the file cannot be written   130 interrupted; the file has what was done"""


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cells",
        default=CELLS,
        metavar="A,B,...",
        help=f"cells by name, pattern ('darts-*') or path of a cell file; default {CELLS}",
    )
    parser.add_argument(
        "--benchmark",
        metavar="NAME",
        help="time something else than cells: `supernet`, the two kinds of a search step of DARTS",
    )
    parser.add_argument(
        "--shape",
        action="append",
        metavar="NAME|BxTxExH",
        dest="shapes",
        help="a shape, or several separated by commas; repeatable; default a,b,c,d",
    )
    parser.add_argument("--engines", metavar="A,B,...", help="engines of cells; default all")
    parser.add_argument(
        "--pass", choices=_PASSES, default="both", dest="passes", help="training, inference or both (default)"
    )
    parser.add_argument("--dtype", choices=DTYPES, default=DTYPES[0], help=f"default {DTYPES[0]}")
    parser.add_argument("--threads", type=_whole(_MOST_THREADS), default=1, metavar="N", help="default 1")
    parser.add_argument(
        "--rounds", type=_whole(_MOST_ROUNDS), default=11, metavar="N", help="of each case, at most; default 11"
    )
    parser.add_argument(
        "--budget",
        type=_seconds,
        default=300.0,
        metavar="SECONDS",
        help="for all cases together; each has 3 rounds all the same; default 300",
    )
    parser.add_argument(
        "--memory",
        action="store_true",
        help="also measure the peak extra memory of a pass, each in a process of its own; not in the budget",
    )
    parser.add_argument(
        "--out", type=path_option("--out"), metavar="FILE", help="write everything to a JSON file"
    )
    parser.add_argument("--dry-run", action="store_true", help="list what would be timed, and time nothing")


def _whole(largest: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isdecimal() or not 1 <= int(text[:12]) <= largest:
            raise ArgumentTypeError(f"{text!r:.40} is not a whole number from 1 to {largest}")
        return int(text)

    return read


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < 1e7:
        raise ArgumentTypeError(f"{text!r:.40} is not a number of seconds above 0")
    return value


def _execute(options: argparse.Namespace) -> int:
    shapes = find_shapes(options.shapes or [",".join(SHAPES)])
    settings = _settings(options)
    cases = _cases(options, shapes)
    if options.dry_run:
        return _list(cases, settings)
    return _compare(cases, settings, options.out, must_run=options.engines is not None)


def _cases(options: argparse.Namespace, shapes: list[Shape]) -> list[Case]:
    if options.benchmark is not None:
        from cellzoo.bench.benchmarks import benchmark_cases

        return benchmark_cases(options.benchmark, shapes, options.dtype)
    from cellzoo.bench.cell_case import CellCase

    cells = {found.cell.hash: found.cell for found in map(entry, expand_cells(split_cells(options.cells)))}
    return [
        CellCase(cell, shape, training, options.dtype)
        for cell in cells.values()
        for shape in shapes
        for training in _PASSES[options.passes]
    ]


def _settings(options: argparse.Namespace) -> TimingSettings:
    from cellzoo.bench.cell_case import ENGINES
    from cellzoo.bench.compare import TimingSettings

    engines = ENGINES
    if options.engines is not None:
        engines = tuple(dict.fromkeys(part.strip() for part in options.engines.split(",")))
        for name in engines:
            if name not in ENGINES:
                raise unknown("engine", name[:80], ENGINES)
    return TimingSettings(engines, options.threads, options.rounds, options.budget, options.memory)


def _list(cases: list[Case], settings: TimingSettings) -> int:
    from cellzoo.bench.cell_case import CellCase
    from cellzoo.bench.loop import darts_genotype

    for case in cases:
        by_node = isinstance(case, CellCase) and darts_genotype(case.cell) is None
        loop = "node by node" if by_node else "as in the DARTS code"
        names = ", ".join(case.candidates(settings.engines))
        sys.stdout.write(f"{case}: {case.flops / 1e9:.3g} GFLOP; loop {loop}\n    {names}\n")
    threads = "1 thread" if settings.threads == 1 else f"{settings.threads} threads"
    memory = "; then peak memory" if settings.memory else ""
    sys.stdout.write(
        f"{len(cases)} cases of at most {settings.rounds} rounds, {settings.budget:g} s together, "
        f"{settings.clock_name}, {threads}{memory}; nothing was timed\n"
    )
    return 0


def _compare(cases: list[Case], settings: TimingSettings, out: Path | None, *, must_run: bool) -> int:
    from cellzoo.bench.compare import compare
    from cellzoo.bench.progress import show_progress
    from cellzoo.bench.report import BenchReport
    from cellzoo.bench.table import MEMORY_NOTE, NOTE, show
    from cellzoo.system.streams import console as open_console

    console = open_console()
    report = BenchReport(out, settings, len(cases))
    # Now rather than after minutes of work, should the file be impossible.
    report.write([])
    progress = show_progress(cases)
    results = []
    try:
        for result in compare(cases, settings, progress):
            results.append(result)
            report.write(results)
            show(result, settings, console)
    finally:
        progress.close()
    for note in (NOTE, MEMORY_NOTE) if settings.memory else (NOTE,):
        console.print(note, style="dim", highlight=False)
    if out is not None:
        sys.stdout.write(f"{out}\n")
    faults = [(result.case, name) for result in results for name in settings.engines if name in result.left_out]
    if must_run and faults:
        case, name = faults[0]
        raise RunError(f"{name} could not run {len(faults)} of {len(cases)} cases; the first is {case}")
    return 0


COMMAND = Command(
    name="bench",
    summary="how fast cells run here, beside torch's layers",
    description=_DESCRIPTION,
    examples=_EXAMPLES,
    configure=_configure,
    execute=_execute,
)

"""`cellzoo bench`: how fast cells run here."""

from __future__ import annotations

import sys
import textwrap
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING

from cellzoo.bench.case import (
    BESIDE,
    DTYPES,
    SHAPES,
    TORCHRECURRENT,
    Shape,
    benchmark_cases,
    find_shapes,
)
from cellzoo.catalog import entry
from cellzoo.cli.command import Command
from cellzoo.errors import CellzooError, RunError, unknown
from cellzoo.runtime import PRECISIONS
from cellzoo.selection import expand_cells, split_cells
from cellzoo.system.paths import path_option
from cellzoo.system.text import printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from pathlib import Path

    from cellzoo.bench.case import Case
    from cellzoo.bench.run import TimingSettings

CELLS = "lstm,gru,darts-v2"
_SHAPES = "a,b,c,d"
_PASSES = {"training": (True,), "inference": (False,), "both": (True, False)}
_LISTED = textwrap.fill(", ".join(map(str, SHAPES.values())), 110, break_on_hyphens=False)
_DESCRIPTION = f"""\
Measure how fast layers of cells run on this machine, compared with torch's own layers.

Each cell is timed with every engine, and compared with
  loop                 a plain Python loop over time steps: for a DARTS genotype that of the DARTS code, for any
                       other cell one matrix product for each input of each linear node
  nn.LSTM, nn.GRU      torch's own layers of the same sizes; also per floating-point operation
  torchrecurrent       the layer of that package, where it is installed and has the cell; padded sequences only
  bare products        only the matrix products of the cell, by torch.mm, merged as far as its graph allows

The candidates are timed alternately in one process: each round runs every candidate once, and the table shows
the median over the rounds of the ratio of two times of the same round. Times are CPU time of this process with
one thread, wall-clock time otherwise. One layer is timed: padded sequences in one direction, packed sequences
(lengths spread evenly from T / 4 to T) in both directions. Training adds the backward pass with the gradients
of all weights and of the input, without an optimizer.

Shapes (batch x steps x input size x hidden size):
{_LISTED}."""
_EXAMPLES = """\
  cellzoo bench                                        the default cells at shapes a to d
  cellzoo bench --cells darts-v2 --shape a --pass training
  cellzoo bench --shape sentences,paragraphs,pages     packed sequences in both directions, as in taggers
  cellzoo bench --shape one --pass inference           the latency of one sentence
  cellzoo bench --cells 'nbnlp-*,mine.toml' --shape 20x70x400x600 --out bench.json
  cellzoo bench --cells darts-v2 --shape d --memory    and peak memory
  cellzoo bench --benchmark stream --shape one         single steps, compared with nn.LSTMCell
  cellzoo bench --benchmark supernet --shape d --memory     a search step of DARTS
  cellzoo bench --benchmark tagger --shape sentences --engines native     whole taggers, compared with Flair's
  cellzoo bench --device cuda --cells lstm,darts-v2    compared with cuDNN
  cellzoo bench --precision bf16 --shape a             also with bfloat16 products
  cellzoo bench --threads 1,2 --cells lstm             the speed-up by a second thread
  cellzoo bench --chart bench.json tagger.json         a chart and a table of measured times
  cellzoo bench --dry-run                              only list what would be timed

exit codes:
  0 done   1 an engine named by --engines could not run a cell   2 bad input or usage
  5 the file cannot be written   130 interrupted; the file has the cases that were done"""


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cells",
        metavar="A,B,...",
        help=f"names of cells, patterns such as 'darts-*', or paths of cell files (default: {CELLS}); with "
        "--chart the cells to show (default: all)",
    )
    parser.add_argument(
        "--benchmark",
        metavar="NAME",
        help="time something other than layers: stream (single steps by CellRNN.step, compared with torch's "
        "cells), supernet (the two kinds of search step of DARTS) or tagger (training steps of whole taggers, "
        "compared with Flair's)",
    )
    parser.add_argument(
        "--shape",
        action="append",
        metavar="NAME|BxTxExH[-packed]",
        dest="shapes",
        help=f"shapes by name or sizes, separated by commas; repeatable (default: {_SHAPES})",
    )
    parser.add_argument("--engines", metavar="A,B,...", help="engines to time (default: all)")
    parser.add_argument(
        "--beside",
        default=",".join(BESIDE),
        metavar="A,B,...",
        help=f"what to compare each cell with (default: {','.join(BESIDE)})",
    )
    parser.add_argument(
        "--pass", choices=_PASSES, default="both", dest="passes", help="training, inference or both (default)"
    )
    parser.add_argument("--dtype", choices=DTYPES, default=DTYPES[0], help=f"data type (default: {DTYPES[0]})")
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="full",
        help="bf16: also time the engines that support it with bfloat16 products, and nn.LSTM in bfloat16",
    )
    parser.add_argument(
        "--device", default="cpu", metavar="DEVICE", help="device of the layers: cpu (default), cuda or cuda:N"
    )
    parser.add_argument(
        "--threads",
        type=_counts,
        metavar="N,...",
        help="numbers of threads to compare (default: 1); with --chart those to show",
    )
    parser.add_argument(
        "--rounds", type=_whole(10_000), default=11, metavar="N", help="most rounds of each case (default: 11)"
    )
    parser.add_argument(
        "--budget",
        type=_seconds,
        default=300.0,
        metavar="SECONDS",
        help="time limit for all cases together; each case has at least 3 rounds (default: 300)",
    )
    parser.add_argument(
        "--memory",
        action="store_true",
        help="also measure the peak memory of each candidate, in a separate process; not part of the budget",
    )
    parser.add_argument(
        "--out",
        type=path_option("--out"),
        metavar="FILE",
        help="write all times to a JSON file; with --chart the file of the chart",
    )
    parser.add_argument(
        "--chart",
        type=path_option("--chart"),
        nargs="+",
        metavar="FILE",
        help="measure nothing: draw a chart of files that --out wrote, as .svg next to the first one, and "
        "print a table in Markdown",
    )
    parser.add_argument("--dry-run", action="store_true", help="only list what would be timed")


def _whole(largest: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isdecimal() or not 1 <= int(text[:12]) <= largest:
            raise ArgumentTypeError(f"{text!r:.40} is not a whole number from 1 to {largest}")
        return int(text)

    return read


def _counts(text: str) -> tuple[int, ...]:
    return tuple(dict.fromkeys(_whole(1024)(part.strip()) for part in text.split(",")))


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < 1e7:
        raise ArgumentTypeError(f"{text!r:.40} is not a number of seconds above 0")
    return value


def _execute(options: argparse.Namespace) -> int:
    if options.chart is not None:
        return _draw(options)
    shapes = find_shapes(options.shapes or [_SHAPES])
    from cellzoo.bench.run import TimingSettings

    threads = options.threads or (1,)
    settings = TimingSettings(threads, options.rounds, options.budget, options.memory, _device(options))
    cases = _cases(options, shapes)
    if options.benchmark is None and TORCHRECURRENT in options.beside:
        _note_missing(cases)
    if options.dry_run:
        return _list(cases, settings)
    return _compare(cases, settings, options.out, must_run=options.engines is not None)


def _draw(options: argparse.Namespace) -> int:
    from cellzoo.bench.chart import draw
    from cellzoo.bench.figures import read_figures, tables
    from cellzoo.system.atomic import write_atomically

    cells = None if options.cells is None else split_cells(options.cells)
    figures = read_figures(options.chart, options.threads, cells)
    picture = options.out or options.chart[0].with_suffix(".svg")
    write_atomically(picture, draw(figures).encode())
    sys.stdout.write(printable(tables(figures)))
    return 0


def _device(options: argparse.Namespace) -> str:
    import torch

    name: str = options.device
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdecimal()) or name == "cpu:":
        raise CellzooError(f"--device {name!r:.40}: expected cpu, cuda, or cuda:N")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise CellzooError(f"--device {name}: torch finds {torch.cuda.device_count()} CUDA devices here")
    if kind == "cuda" and (options.memory or options.benchmark is not None):
        raise CellzooError("--device cuda: --memory and --benchmark are for the CPU")
    return name


def _cases(options: argparse.Namespace, shapes: list[Shape]) -> list[Case]:
    from cellzoo.bench.cells import ENGINES, cell_case

    engines = ENGINES if options.engines is None else _names("engine", options.engines, ENGINES)
    if options.precision == "bf16":
        _check_bfloat16(options)
    if options.benchmark is not None:
        return benchmark_cases(options.benchmark, shapes, options.dtype, engines)
    beside = _names("candidate", options.beside, BESIDE)
    cells = {
        found.cell.hash: found.cell for found in map(entry, expand_cells(split_cells(options.cells or CELLS)))
    }
    return [
        cell_case(
            cell,
            shape,
            training=training,
            dtype=options.dtype,
            engines=engines,
            beside=beside,
            precision=options.precision,
            device=options.device,
        )
        for cell in cells.values()
        for shape in shapes
        for training in _PASSES[options.passes]
    ]


def _names(kind: str, text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    for name in names:
        if name not in known:
            raise unknown(kind, name[:80], known)
    return names


def _check_bfloat16(options: argparse.Namespace) -> None:
    from cellzoo.runtime.native.binding import has_bfloat16

    if (options.benchmark, options.dtype, options.device) != (None, "float32", "cpu"):
        raise CellzooError("--precision bf16: it is for cells in float32 on the CPU")
    if not has_bfloat16():
        raise CellzooError("--precision bf16: no products of bfloat16 here; cellzoo doctor says why")


def _note_missing(cases: list[Case]) -> None:
    """Say once that a package is missing whose layers could be timed, too."""
    from cellzoo.bench.others import COUNTERPARTS, has_torchrecurrent

    names = {str(case.description["cell"]) for case in cases if not case.shape.packed} & COUNTERPARTS.keys()
    if names and not has_torchrecurrent():
        sys.stderr.write(f"torchrecurrent, which has {', '.join(sorted(names))}, too, is not installed\n")


def _list(cases: list[Case], settings: TimingSettings) -> int:
    for case in cases:
        gigaflop = next(iter(case.flops.values())) / 1e9
        sys.stdout.write(f"{case.title}: {gigaflop:.3g} GFLOP; loop {case.description['loop']}\n")
        sys.stdout.write(f"    {', '.join(case.flops)}\n")
    memory = "; then peak memory" if settings.memory else ""
    sys.stdout.write(
        f"{len(cases)} cases of at most {settings.rounds} rounds, {settings.budget:g} s together, "
        f"{settings}{memory}; nothing was timed\n"
    )
    return 0


def _compare(cases: list[Case], settings: TimingSettings, out: Path | None, *, must_run: bool) -> int:
    from cellzoo.bench import show
    from cellzoo.bench.run import compare
    from cellzoo.system.streams import console as open_console

    console = open_console()
    about = show.about_the_run(settings)
    results = []
    if out is not None:
        # Now rather than after minutes of work, should the file be impossible.
        show.write_file(out, about, [], finished=False)
    for result in compare(cases, settings, show.progress(cases, open_console(stderr=True))):
        results.append(result)
        if out is not None:
            show.write_file(out, about, results, finished=len(results) == len(cases) * len(settings.threads))
        show.print_table(result, settings, console)
    notes = [show.NOTE]
    notes += [show.BF16_NOTE] * any(show.lstm_in_bfloat16(result) is not None for result in results)
    notes += [show.MEMORY_NOTE] * settings.memory
    for note in notes:
        console.print(note, style="dim", highlight=False)
    if out is not None:
        sys.stdout.write(printable(f"{out}\n"))
    faults = [
        (result.case, name)
        for result in results
        for name in result.case.engines
        if result.first is None and name in result.left_out
    ]
    if must_run and faults:
        case, name = faults[0]
        raise RunError(f"{name} could not run {len(faults)} of {len(cases)} cases; the first is {case.title}")
    return 0


COMMAND = Command(
    name="bench",
    summary="measure the speed of cells, compared with torch's layers",
    description=_DESCRIPTION,
    examples=_EXAMPLES,
    configure=_configure,
    execute=_execute,
)

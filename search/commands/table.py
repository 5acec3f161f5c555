"""`cellzoo table`: NAS-Bench-NLP as a table for queries, searches and comparisons of samplers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cellzoo.cli.command import Command
from cellzoo.errors import CellzooError, RunError, UnknownNameError, unknown
from search.commands.arguments import say, seed_list, whole_number

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from cellzoo.cells.cell import Cell
    from search.benchmark.table import Table

_DESCRIPTION = """\
Use the published trainings of the benchmark NAS-Bench-NLP (Klyuchnikov et al. 2020) as a lookup table.

  build   make the table from the published files in --data DIR, and from further logs given by --logs
  show    describe the table; with RECIPE, show what it has of one recipe, given by its number, its hash, the
          recipe itself, or a cell by name or file; --rule tells what to do about a cell that was never trained
  compare run samplers on the table, many trials each, and write their regret over simulated time to OUT
  analyse write a page about the search space to OUT: parameters, times, early ranks, transfer, predictors
  train   train RECIPEs for real, as the benchmark did or at a small size, and compare with the published logs;
          a longer training continues a shorter one in the same OUT

The methods of compare are samplers (`cellzoo list methods`), separated by commas, with their settings after
colons; `all` means all samplers that can search a table, and random search with 10 epochs.
"""
_EXAMPLES = """\
  cellzoo table build --data DIR                  write nas-bench-nlp.npz, in a second
  cellzoo table show                              describe it
  cellzoo table show darts-v2 --rule surrogate    a cell that was never trained
  cellzoo table show 7537 --epoch 10              losses and seconds of one recipe after 10 epochs
  cellzoo table compare --methods all --trials 200 --hours 50,100,200 --out regret
  cellzoo table train 7537 --data DIR --epochs 51 --out more      check a published log, and continue it
  cellzoo table train 7537 1 2 --size small --modes reference_frozen,fixed --data DIR --out modes
  cellzoo table analyse --out space               one page about the search space
  cellzoo table compare --methods random,evolution:population=20:sample=5 --out regret

exit codes:
  0 done   1 a training failed or diverged   2 bad input or usage   3 data missing or malformed
  5 the output cannot be written
"""
_DEFAULT_TABLE = "nas-bench-nlp.npz"


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", metavar="ACTION", help=", ".join(_ACTIONS))
    parser.add_argument(
        "recipes",
        metavar="RECIPE",
        nargs="*",
        help="for show and train: number or hash of a recipe, or the recipe itself",
    )
    parser.add_argument(
        "--table", default=_DEFAULT_TABLE, metavar="FILE", help=f"the table (default: {_DEFAULT_TABLE})"
    )
    parser.add_argument(
        "--data", metavar="DIR", help="folder that contains nas-bench-nlp and nas-bench-nlp-ptb"
    )
    parser.add_argument(
        "--logs", action="append", default=[], metavar="ZIP|DIR", help="for build: further logs; repeatable"
    )
    parser.add_argument(
        "--clock",
        default="corrected",
        metavar="CLOCK",
        help="which training times: released, corrected (default) or retimed",
    )
    parser.add_argument(
        "--epoch", metavar="N", help="for show: the results after this epoch (default: the last)"
    )
    parser.add_argument(
        "--rule",
        default="refuse",
        metavar="RULE",
        help="for show: what to do about a cell not in the table: refuse (default), nearest or surrogate",
    )
    compared = parser.add_argument_group("for compare")
    compared.add_argument("--methods", default="all", metavar="A,B,...", help="samplers (default: all)")
    compared.add_argument(
        "--trials", default="200", metavar="N", help="number of searches of each method (default: 200)"
    )
    compared.add_argument(
        "--hours",
        default="50,100,200",
        metavar="A,B,...",
        help="budgets in simulated hours (default: 50,100,200)",
    )
    compared.add_argument(
        "--simulated-workers", default="1", metavar="N", help="simulated trainings in parallel (default: 1)"
    )
    compared.add_argument(
        "--pool",
        default="both",
        metavar="POOL",
        help="recipes: all, drawn (without RNN, LSTM and GRU), or both, one after the other (default)",
    )
    compared.add_argument("--seed", default="0", metavar="N", help="seed of the first trial (default: 0)")
    compared.add_argument(
        "--workers", default="1", metavar="N", help="worker processes, also for train (default: 1)"
    )
    compared.add_argument("--out", metavar="DIR", help="output folder")
    trained = parser.add_argument_group("for train")
    trained.add_argument("--epochs", metavar="N", help="number of epochs (default: 50, with --size small 5)")
    trained.add_argument(
        "--size", default="paper", metavar="SIZE", help="size of model and data: paper (default) or small"
    )
    trained.add_argument(
        "--modes",
        default="reference_frozen",
        metavar="A,B",
        help="weight drop as in the published code (reference_frozen, default) or corrected (fixed), or both",
    )
    trained.add_argument(
        "--seeds", default="1", metavar="N|A,B,...", help="number or list of seeds (default: 1)"
    )
    trained.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="settings",
        help="change a setting; repeatable",
    )
    trained.add_argument("--device", default="auto", metavar="DEVICE", help="auto (default), cpu, cuda, cuda:N")
    trained.add_argument("--threads", default="1", metavar="N", help="threads of each training (default: 1)")


def _execute(options: argparse.Namespace) -> int:
    if options.action not in _ACTIONS:
        raise unknown("action of table", options.action[:80], _ACTIONS)
    return _ACTIONS[options.action](options)


def _build(options: argparse.Namespace) -> int:
    import os

    from cellzoo.system.paths import typed_path
    from search.benchmark.build import build_table
    from tasks.data.locate import VARIABLE, require_folder

    folder = options.data or os.environ.get(VARIABLE)
    data = None if not folder else typed_path(folder, "--data")
    if data is not None:
        require_folder(data)
    table = build_table(data, [typed_path(path, "--logs") for path in options.logs])
    path = typed_path(options.table, "--table")
    table.write(path)
    say(*_contents(table), f"written to {path}")
    return 0


def _show(options: argparse.Namespace) -> int:
    table = _table(options)
    if not options.recipes:
        say(*_contents(table))
        return 0
    from search.benchmark.outside import Outside
    from search.benchmark.show import describe, describe_outside
    from search.benchmark.timing import make_clock

    epoch = None if options.epoch is None else whole_number("--epoch", options.epoch, 10_000)
    clock = make_clock(table, options.clock)
    outside = Outside(table, clock, options.rule)
    for recipe in options.recipes:
        try:
            found = table.find(recipe)
        except UnknownNameError:
            cell = _cell(recipe)
            if cell is None:
                raise
            say(*describe_outside(outside, cell, epoch))
        else:
            say(*describe(table, found, clock, epoch))
    return 0


def _cell(text: str) -> Cell | None:
    """The cell of a recipe, a name or a cell file; None if there is none."""
    from cellzoo.catalog import load
    from cellzoo.notations import nas_bench_nlp

    if text.lstrip().startswith("{"):
        return nas_bench_nlp.parse(text)
    try:
        return load(text)
    except UnknownNameError:
        return None


def _compare(options: argparse.Namespace) -> int:
    from cellzoo.system.paths import typed_path
    from search.benchmark.compare import compare, parse_methods

    if options.out is None:
        raise CellzooError("--out is missing, such as: cellzoo table compare --out regret")
    if options.pool not in _POOLS:
        raise unknown("pool", options.pool[:80], _POOLS)
    if not re.fullmatch(r"\d{1,9}", options.seed, re.ASCII):
        raise CellzooError(f"--seed {options.seed!r:.40}: expected a whole number")
    compare(
        typed_path(options.table, "--table"),
        typed_path(options.out, "--out"),
        methods=parse_methods(options.methods),
        trials=whole_number("--trials", options.trials, 100_000),
        horizons=_hours(options.hours),
        clock=options.clock,
        workers=whole_number("--simulated-workers", options.simulated_workers, 1000),
        pools=_POOLS[options.pool],
        seed=int(options.seed),
        processes=whole_number("--workers", options.workers, 256),
        say=say,
    )
    return 0


def _analyse(options: argparse.Namespace) -> int:
    from cellzoo.system.paths import typed_path
    from search.benchmark.analysis import analyse
    from search.benchmark.analysis_page import in_words, write_analysis

    if options.out is None:
        raise CellzooError("--out is missing, such as: cellzoo table analyse --out space")
    found = analyse(_table(options))
    say(f"Penn Treebank against WikiText-2: Kendall's tau {in_words(found.transfer)}")
    for model in found.models:
        scores = ", ".join(f"{name} {mean:.3f} ± {spread:.3f}" for name, (mean, spread) in model.scores.items())
        say(f"{model.what}: {scores}")
    for path in write_analysis(typed_path(options.out, "--out"), found):
        say(f"written: {path}")
    return 0


def _train(options: argparse.Namespace) -> int:
    from cellzoo.system.paths import typed_path
    from search.benchmark.train import EPOCHS_SETTING, SIZES, Request, check_lines, train_recipes
    from tasks.commands.run import parse_settings
    from tasks.runs.progress import show_progress
    from tasks.runs.run import ExecutorSettings

    if options.out is None or not options.recipes:
        raise CellzooError("name recipes and --out, such as: cellzoo table train 7537 --data DIR --out more")
    if options.size not in SIZES:
        raise unknown("size", options.size[:80], SIZES)
    table = _table(options)
    settings = {**SIZES[options.size], **parse_settings(options.settings)}
    if options.epochs is not None:
        settings[EPOCHS_SETTING] = whole_number("--epochs", options.epochs, 100_000)
    seeds = seed_list(options.seeds)
    request = Request(
        tuple(table.find(recipe) for recipe in options.recipes),
        tuple(mode.strip() for mode in options.modes.split(",")),
        tuple(seeds),
        settings,
    )
    workers = whole_number("--workers", options.workers, 256)
    threads = whole_number("--threads", options.threads, 1024)
    execution = ExecutorSettings("serial" if workers == 1 else "processes", workers, threads, options.device)
    trained, failed = train_recipes(
        request,
        typed_path(options.out, "--out"),
        data=options.data,
        execution=execution,
        listener=show_progress(),
    )
    say(*check_lines(table, request, trained), *(f"failed: {line}" for line in failed))
    return RunError.exit_code if failed else 0


def _hours(text: str) -> tuple[float, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch(r"\d{1,6}(\.\d{1,3})?", part, re.ASCII) and float(part) > 0 for part in parts):
        raise CellzooError(f"--hours {text!r:.60}: expected hours above 0, such as 50,100,200")
    return tuple(sorted({float(part) for part in parts}))


def _table(options: argparse.Namespace) -> Table:
    from cellzoo.system.paths import typed_path
    from search.benchmark.table import Table

    return Table.read(typed_path(options.table, "--table"))


def _contents(table: Table) -> list[str]:
    from search.benchmark.show import contents

    return contents(table)


_POOLS = {"all": (True,), "drawn": (False,), "both": (True, False)}
_ACTIONS: dict[str, Callable[[argparse.Namespace], int]] = {
    "build": _build,
    "show": _show,
    "compare": _compare,
    "analyse": _analyse,
    "train": _train,
}

COMMAND = Command(
    name="table",
    summary="search in the published trainings of NAS-Bench-NLP",
    description=_DESCRIPTION,
    examples=_EXAMPLES,
    configure=_configure,
    execute=_execute,
)

"""`cellzoo search`: find a cell; with `--then` also train and test the found cells."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from cellzoo.cli.command import Command
from cellzoo.errors import CellzooError, RunError
from search.commands.arguments import say, seed_list, whole_number

if TYPE_CHECKING:
    import argparse

_DESCRIPTION = """\
Search a recurrent cell and write it to OUT/found.toml, which `cellzoo run --cells` takes. OUT/searches has the
log and the checkpoint of each search, OUT/records a record of every run. The same command continues an
interrupted search exactly where it stopped.

METHOD is one of
    {methods}
`cellzoo list methods` describes them. Presets are {presets}; a path that ends in .toml is one of your own.

--on takes a task that trains a model (`cellzoo list tasks`), a task file, a text file, or conll:FILE. One file
is split into train, dev and test in the ratio 8:1:1; FILE,FILE are train and test; FILE,FILE,FILE are train,
dev and test. Settings come from the task; those of the preset override them, and --set overrides both.

With --on TABLE.npz, a file of `cellzoo table build`, a sampler looks up the results of its candidates instead
of training them, in simulated time. Its settings are hours=100 (the default), clock=corrected,
simulated_workers=1, hand_designed=true, and those of the sampler.

With --then, each found cell is trained briefly, and the best one on dev is trained fully with several seeds.
"""
_EXAMPLES = """\
  cellzoo search darts --on ptb --data DIR --out darts        preset small, seed 0
  cellzoo search egs --on ptb --data DIR --preset paper --seeds 3, --device cuda --out egs
  cellzoo search idarts --on conll:ner.conll --out idarts     on named entities of your own
  cellzoo search asha --on nas-bench-nlp.npz --set hours=50 --seeds 10 --out asha    in a table, in seconds
  cellzoo search evolution --on wnut17 --set trials=50 --workers 2 --out evolution
  cellzoo search darts --on ptb --data DIR --out d --dry-run  only show what would be done
  cellzoo search random-ws --on book.txt --then --seeds 4 --out r
  cellzoo plot darts                                          plot the progress of the search
  cellzoo run news-lm --cells lstm,darts/found.toml           evaluate the cell on another task

exit codes:
  0 done   1 a search or a training failed   2 bad input or usage   3 data or checkpoint missing or malformed
  4 a record is damaged   5 the output folder cannot be used   130 stopped by Ctrl-C
"""

_MOST_THREADS = 1024
_TABLE = ".npz"
_NOT_IN_TABLES: dict[str, Any] = {
    "preset": "small",
    "data": None,
    "device": "auto",
    "threads": "1",
    "retrain": False,
    "then": False,
}
_OF_THEN: dict[str, Any] = {"test_seeds": "3", "brief": [], "full": [], "beside": None}


def _configure(parser: argparse.ArgumentParser) -> None:
    from search.registry import method_names, preset_names

    names = textwrap.fill(", ".join(method_names()), 100, break_on_hyphens=False)
    parser.description = _DESCRIPTION.format(methods=names, presets=", ".join(preset_names()))
    parser.add_argument("method", metavar="METHOD", help="search method, such as darts")
    parser.add_argument("--on", required=True, metavar="TASK|FILE", help="task or data to search on")
    parser.add_argument("--preset", default="small", metavar="NAME", help="set of settings (default: small)")
    parser.add_argument(
        "--seeds",
        metavar="N|A,B,...",
        help="number of searches, or a list of their seeds (default: 1, with --then 4)",
    )
    parser.add_argument("--out", metavar="DIR", help="output folder (required, except with --dry-run)")
    parser.add_argument("--data", metavar="DIR", help="folder with the original files of data sets")
    parser.add_argument("--device", default="auto", metavar="DEVICE", help="auto (default), cpu, cuda, cuda:N")
    parser.add_argument("--threads", default="1", metavar="N", help="threads of each run (default: 1)")
    parser.add_argument(
        "--workers", metavar="N", help="number of runs in parallel (default: number of processors; on a GPU 1)"
    )
    parser.add_argument(
        "--executor",
        default="processes",
        metavar="EXECUTOR",
        help="processes (default): parallel runs in worker processes; serial: one at a time in this process",
    )
    parser.add_argument(
        "--longest-silence",
        default="3600",
        metavar="SECONDS",
        help="stop a run that reports no progress for this long, as it hangs (default: 3600)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="settings",
        help="change a setting of the method or of the task; repeatable",
    )
    parser.add_argument(
        "--retrain",
        action="store_true",
        help="samplers only: when a cell is proposed again, train it with another seed and average the "
        "results; short for --set retrain=true",
    )
    parser.add_argument("--dry-run", action="store_true", help="only show what would be done")
    then = parser.add_argument_group("search, train and test in one go")
    then.add_argument("--then", action="store_true", help="train the found cells, and test the best one")
    then.add_argument(
        "--test-seeds", metavar="N|A,B,...", help="number or list of seeds of the full training (default: 3)"
    )
    then.add_argument(
        "--brief", action="append", metavar="KEY=VALUE", help="change a setting of the brief training"
    )
    then.add_argument(
        "--full", action="append", metavar="KEY=VALUE", help="change a setting of the full training"
    )
    then.add_argument(
        "--beside", metavar="A,B,...", help="also train these cells, briefly and fully, for comparison"
    )
    parser.set_defaults(**_OF_THEN)


def _execute(options: argparse.Namespace) -> int:
    if options.out is None and not options.dry_run:
        raise CellzooError("--out is missing, such as: cellzoo search darts --on ptb --out darts-0")
    if not options.then:
        for name, default in _OF_THEN.items():
            if getattr(options, name) != default:
                flag = "--" + name.replace("_", "-")
                raise CellzooError(f"{flag} is about the training of found cells; it needs --then")
    if options.on.endswith(_TABLE):
        return _search_table(options)
    threads = whole_number("--threads", options.threads, _MOST_THREADS)
    workers = None if options.workers is None else whole_number("--workers", options.workers, 9999)

    from cellzoo.system.paths import typed_path
    from search.run.chain import Chain
    from search.run.request import request_search
    from search.run.run import check_data, run_search
    from search.run.summary import plan_lines, report_lines
    from tasks.commands.run import parse_seconds, parse_settings
    from tasks.runs.device import resolve_device
    from tasks.runs.progress import show_progress
    from tasks.runs.run import ExecutorSettings

    out = typed_path("found" if options.out is None else options.out, "--out")
    seeds = seed_list(("4" if options.then else "1") if options.seeds is None else options.seeds)
    changes = parse_settings([*options.settings, *(["retrain=true"] if options.retrain else [])])
    plan = request_search(
        options.method,
        options.on,
        preset=options.preset,
        data=options.data,
        changes=changes,
    )
    retrain = _retrain(options)
    silence = parse_seconds("--longest-silence", options.longest_silence)
    execution = ExecutorSettings(options.executor, workers, threads, options.device, silence)
    if options.dry_run:
        execution.check()
        chain = Chain(plan, seeds, out, retrain, 1)
        check_data(chain)
        say(*plan_lines(plan, seeds, resolve_device(options.device), chain), "nothing was written")
        return 0
    report = run_search(plan, seeds, out, execution=execution, retrain=retrain, listener=show_progress())
    say(*report_lines(report))
    return RunError.exit_code if report.failures else 0


def _search_table(options: argparse.Namespace) -> int:
    for name, default in _NOT_IN_TABLES.items():
        if getattr(options, name) != default:
            flag = "--" + name.replace("_", "-")
            raise CellzooError(f"{flag} is about trainings; a search in a table trains nothing")

    from cellzoo.system.paths import typed_path
    from search.benchmark.search import request_table_search, search_table
    from tasks.commands.run import parse_seconds, parse_settings
    from tasks.runs.progress import show_progress
    from tasks.runs.run import ExecutorSettings
    from tasks.settings import plain

    workers = None if options.workers is None else whole_number("--workers", options.workers, 9999)
    silence = parse_seconds("--longest-silence", options.longest_silence)
    execution = ExecutorSettings(options.executor, workers, 1, "cpu", silence)
    seeds = seed_list("1" if options.seeds is None else options.seeds)
    changes = parse_settings(options.settings)
    search = request_table_search(options.method, typed_path(options.on, "--on"), changes)
    if options.dry_run:
        execution.check()
        settings = plain(search.config)
        say(*(f"{name:<18}{value}" for name, value in settings.items()), f"seeds             {seeds}")
        say("nothing was written")
        return 0
    report = search_table(search, seeds, typed_path(options.out, "--out"), execution, show_progress())
    say(*report.lines())
    return RunError.exit_code if report.failures else 0


def _retrain(options: argparse.Namespace) -> Any:
    if not options.then:
        return None
    from cellzoo.selection import split_cells
    from search.run.chain import Retrain
    from tasks.commands.run import parse_settings

    return Retrain(
        test_seeds=seed_list(options.test_seeds),
        brief=parse_settings(options.brief),
        full=parse_settings(options.full),
        beside=tuple(split_cells(options.beside)) if options.beside else (),
    )


COMMAND = Command(
    name="search",
    summary="search a recurrent cell, and optionally train and test it",
    description=_DESCRIPTION.partition("\n\n")[0],
    examples=_EXAMPLES,
    configure=_configure,
    execute=_execute,
)

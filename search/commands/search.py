"""`cellzoo search`: find a cell, draw the way to it, or search, retrain and test in one go."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellzoo.cli.command import Command
from cellzoo.errors import CellzooError, RunError

if TYPE_CHECKING:
    import argparse

_DESCRIPTION = """\
Search a recurrent cell. The directory given by --out gets configuration.json, events.jsonl (one JSON object
a line), checkpoint.safetensors after every epoch, and in the end found.toml, a cell file for `cellzoo run`.
A search that was stopped or killed goes on exactly where its last epoch ended: with the same command, or with
--resume and the directory.

--on takes a data set (ptb, wikitext-2; conll2000, small-ner, wnut17 for tags), a text file, or conll:FILE.
One file is cut into train, dev and test in the ratio 8:1:1; FILE,FILE are train and test; FILE,FILE,FILE are
train, dev and test.

--then searches with several seeds, retrains each found cell briefly, and the best of them by validation fully
with several seeds. All of it becomes records below OUT, from which `cellzoo board` shows the cost of the search
and the mean over the searches beside the best.
"""
_EXAMPLES = """\
  cellzoo search darts --on ptb --data DIR --out darts-0      the preset small, seed 0
  cellzoo search egs --on ptb --data DIR --preset paper --seed 3 --device cuda --out egs-3
  cellzoo search idarts --on conll:ner.conll --out idarts-ner  named entities of your own
  cellzoo search darts --on ptb --data DIR --out d --dry-run  what would be done; writes nothing
  cellzoo search --resume darts-0                             go on
  cellzoo search --plot darts-0                               trajectory.html: the course of the search
  cellzoo search random-ws --on book.txt --then --searches 4 --out r
  cellzoo run news-lm --cells lstm,darts-0/found.toml         judge the cell elsewhere

exit codes:
  0 done   1 a loss was no finite number, or a retraining failed   2 bad input or usage
  3 data or checkpoint missing, malformed or of another search   5 the directory cannot be used   130 stopped
"""


_MOST, _MOST_THREADS = 10**10 - 1, 1024
_OF_THEN: dict[str, Any] = {
    "searches": "4",
    "test_seeds": "3",
    "brief": [],
    "full": [],
    "beside": None,
    "workers": None,
}
_DEFAULTS: dict[str, Any] = {
    "method": None,
    "on": None,
    "preset": "small",
    "seed": None,
    "out": None,
    "data": None,
    "device": "auto",
    "threads": "1",
    "settings": [],
    "dry_run": False,
    "then": False,
    **_OF_THEN,
}


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("method", nargs="?", metavar="METHOD", help="such as darts; an unknown one lists all")
    parser.add_argument("--on", metavar="DATA", help="a data set, a text file, or conll:FILE[,FILE[,FILE]]")
    parser.add_argument("--preset", metavar="NAME", help="paper, official or small (default)")
    parser.add_argument("--seed", metavar="N", help="decides all chance; default 0")
    parser.add_argument("--out", metavar="DIR", help="directory of this search")
    parser.add_argument("--data", metavar="DIR", help="folder with the original files of data sets")
    parser.add_argument("--device", metavar="DEVICE", help="auto (default), cpu, cuda, cuda:N")
    parser.add_argument("--threads", metavar="N", help="threads of the search; default 1")
    parser.add_argument(
        "--set",
        action="append",
        metavar="KEY=VALUE",
        dest="settings",
        help="change a setting of the method, of the objective, or epochs; repeatable",
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would be done; write nothing")
    parser.add_argument("--resume", metavar="DIR", help="go on with the search of a directory")
    parser.add_argument(
        "--plot",
        nargs="?",
        const="",
        metavar="DIR",
        help="draw the course of the search in DIR as DIR/trajectory.html and .svg; without DIR, of this one",
    )
    then = parser.add_argument_group("search, retrain and test in one go")
    then.add_argument("--then", action="store_true", help="search with several seeds, retrain, test the best")
    then.add_argument("--searches", metavar="N|A,B,...", help="how many searches, or their seeds")
    then.add_argument("--test-seeds", metavar="N|A,B,...", help="seeds of the full retraining")
    then.add_argument("--brief", action="append", metavar="KEY=VALUE", help="setting of the brief retraining")
    then.add_argument("--full", action="append", metavar="KEY=VALUE", help="setting of the full retraining")
    then.add_argument(
        "--beside", metavar="A,B,...", help="cells that are retrained, briefly and fully, beside the found ones"
    )
    then.add_argument("--workers", metavar="N", help="retrainings at a time; default one a processor")
    parser.set_defaults(**_DEFAULTS)


def _execute(options: argparse.Namespace) -> int:
    if options.resume is not None:
        _only(options, "--resume DIR", "data")
        return _resume(options)
    if options.plot:
        _only(options, "--plot DIR")
        return _plot(Path(options.plot).expanduser())
    for name, value in (("METHOD", options.method), ("--on", options.on), ("--out", options.out)):
        if value is None and not (name == "--out" and options.dry_run):
            raise CellzooError(f"{name} is missing, such as: cellzoo search darts --on ptb --out darts-0")
    if options.then:
        return _then(options)
    for name in _OF_THEN:
        if getattr(options, name) != _DEFAULTS[name]:
            raise CellzooError(f"{_shown(name)} is of the retraining; it needs --then")
    return _search(options)


def _only(options: argparse.Namespace, flag: str, *others: str) -> None:
    """Refuse options that say what the directory says already, but for some others."""
    for name, default in _DEFAULTS.items():
        if name not in others and getattr(options, name) not in (default, None):
            raise CellzooError(f"{flag} takes everything from the directory; leave {_shown(name)} out")


def _shown(name: str) -> str:
    return {"method": "METHOD", "settings": "--set"}.get(name, "--" + name.replace("_", "-"))


def _search(options: argparse.Namespace) -> int:
    from search.run.prepare import request_plan
    from tasks.commands.run import parse_settings

    threads = _whole("--threads", options.threads, least=1, most=_MOST_THREADS)
    _limit_threads(threads)
    plan = request_plan(
        options.method,
        options.on,
        preset=options.preset,
        seed=_whole("--seed", options.seed or "0"),
        data=options.data,
        device=options.device,
        threads=threads,
        changes=parse_settings(options.settings),
    )
    if options.dry_run:
        from search.run.summary import plan_lines

        _say(*plan_lines(plan), "nothing was written")
        return 0
    return _run(plan, Path(options.out).expanduser(), plot=options.plot is not None)


def _resume(options: argparse.Namespace) -> int:
    from search.run.configuration import read_configuration
    from search.run.directory import RunDirectory
    from search.run.prepare import resume_plan

    folder = Path(options.resume).expanduser()
    configuration, surroundings = read_configuration(RunDirectory(folder).configuration)
    _limit_threads(configuration.threads)
    return _run(resume_plan(configuration, surroundings, options.data), folder, plot=options.plot is not None)


def _run(plan: object, folder: Path, *, plot: bool) -> int:
    from typing import cast

    from search.run.directory import RunDirectory
    from search.run.loop import Plan, run_search
    from search.run.progress import show_search
    from search.run.summary import found_lines

    directory = RunDirectory(folder)
    run_search(cast("Plan", plan), directory, show_search())
    _say(*found_lines(directory))
    return _plot(folder) if plot else 0


def _plot(folder: Path) -> int:
    from search.plot.write import write_plot

    _say(*(str(path) for path in write_plot(folder)))
    return 0


def _then(options: argparse.Namespace) -> int:
    from cellzoo.selection import split_cells
    from search.then.chain import Chain, run_chain
    from tasks.commands.run import parse_seeds, parse_settings

    if options.seed is not None:
        raise CellzooError("--seed is of one search; with --then write --searches, such as --searches 0,7")
    threads = _whole("--threads", options.threads, least=1, most=_MOST_THREADS)
    _limit_threads(threads)
    chain = Chain(
        method=options.method,
        on=options.on,
        preset=options.preset,
        searches=parse_seeds(options.searches),
        test_seeds=parse_seeds(options.test_seeds),
        data=options.data,
        device=options.device,
        threads=threads,
        changes=parse_settings(options.settings),
        brief=parse_settings(options.brief),
        full=parse_settings(options.full),
        beside=tuple(split_cells(options.beside)) if options.beside else (),
        workers=None if options.workers is None else _whole("--workers", options.workers, least=1),
    )
    if options.dry_run:
        from search.then.summary import chain_lines

        _say(*chain_lines(chain), "nothing was written")
        return 0
    from search.then.summary import result_lines

    result = run_chain(chain, Path(options.out).expanduser())
    if options.plot is not None:
        for candidate in result.candidates:
            _plot(candidate.directory.path)
    _say(*result_lines(result))
    return RunError.exit_code if result.failures else 0


def _limit_threads(count: int) -> None:
    import torch

    torch.set_num_threads(count)


def _whole(option: str, text: str, least: int = 0, most: int = _MOST) -> int:
    if not re.fullmatch(r"\d{1,10}", text.strip(), re.ASCII) or not least <= int(text) <= most:
        limit = f"of at least {least}" if most == _MOST else f"from {least} to {most}"
        raise CellzooError(f"{option} {text!r}: expected a whole number {limit}")
    return int(text)


def _say(*lines: str) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)


COMMAND = Command(
    name="search",
    summary="search a cell, and retrain and test what was found",
    description=_DESCRIPTION,
    examples=_EXAMPLES,
    configure=_configure,
    execute=_execute,
)

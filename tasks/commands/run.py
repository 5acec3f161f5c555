"""`cellzoo run`: evaluate cells on tasks and keep a record of each run."""

from __future__ import annotations

import json
import os
import re
import sys
import textwrap
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cellzoo.cli.command import Command
from cellzoo.errors import CellzooError, RunError
from cellzoo.selection import split_cells
from cellzoo.system.paths import typed_path
from cellzoo.system.streams import say
from cellzoo.system.text import printable

if TYPE_CHECKING:
    import argparse

    from rich.console import Console

    from tasks.runs.events import Listener
    from tasks.runs.plan import RunPlan
    from tasks.runs.run import RunReport

_DESCRIPTION = """\
Train and evaluate every cell on every task of a suite, once for each seed, and write one record of each run
into OUT/records. Runs that have a record are skipped, and an interrupted run continues from its last
checkpoint, so the same command can be repeated. `cellzoo board OUT` makes a leaderboard of the records.
"""
_EXAMPLES = """\
  cellzoo run demo --cells lstm,darts-v2 --seeds 3       a suite, seeds 0, 1 and 2
  cellzoo run news-lm --cells 'darts-*,gru' --seeds 0,7  one task, cells by pattern, seeds 0 and 7
  cellzoo run wnut17 --data DIR --cells lstm,found.toml  a cell from a file; data sets in DIR
  cellzoo run demo --cells gru --set epochs=2 --set news-lm.hidden_size=64
  cellzoo run wnut17 --cells 'darts-*,lstm' --seeds 5 --confirm 5   and the best cell on seeds 5 to 9
  cellzoo run wnut17 --cells 'darts-*,lstm' --tune 16    tune each cell over the same 16 configurations
  cellzoo run glue --data DIR --cells lstm,darts-v2 --seeds 3 --preset equal
  cellzoo run mysuite.toml --cells lstm --dry-run        only show what would be run

exit codes:
  0 all runs are done   1 a run failed   2 bad input or usage   3 data missing or malformed
  4 a record is damaged   5 the output folder cannot be used   130 stopped by Ctrl-C
"""

_NOTES_SHOWN = 12


def _configure(parser: argparse.ArgumentParser) -> None:
    from tasks.presets import preset_names
    from tasks.registry import task_names
    from tasks.suites import suite_names

    names = {"suites": suite_names(), "tasks": task_names()}
    lists = (
        textwrap.fill(f"{kind}: {', '.join(found)}", 110, subsequent_indent="  ", break_on_hyphens=False)
        for kind, found in names.items()
    )
    parser.description = "\n".join(
        [f"{parser.description}", *lists, "`cellzoo list suites` and `cellzoo list tasks` describe them."]
    )
    parser.add_argument(
        "suite",
        metavar="SUITE|TASK",
        help="a suite or task by name, or the path of a file that defines one (.toml)",
    )
    parser.add_argument(
        "--cells",
        required=True,
        metavar="A,B,...",
        help="names of cells, patterns such as 'darts-*', or paths of cell files (.toml), separated by commas",
    )
    parser.add_argument(
        "--seeds",
        default="1",
        metavar="N|A,B,...",
        help="number of seeds (5 means 0 to 4), or a list of seeds (0,3,7; a single one: 7,) (default: 1)",
    )
    parser.add_argument(
        "--budget",
        metavar="N",
        help="stop the training of each run after this time (600s, 10min, 2h) or number of epochs (20epochs)",
    )
    parser.add_argument(
        "--tune",
        metavar="N",
        help="tune each cell: try the same N random configurations with every cell, choose each cell's best on "
        "the dev set, and run that",
    )
    parser.add_argument(
        "--confirm",
        metavar="N",
        help="afterwards run the best cell of each task on N new seeds, which do not count for the ranking",
    )
    parser.add_argument("--out", default="results", metavar="DIR", help="output folder (default: results)")
    parser.add_argument("--data", metavar="DIR", help="folder with the original files of data sets")
    parser.add_argument(
        "--executor",
        default="processes",
        metavar="EXECUTOR",
        help="processes (default): parallel runs in worker processes; serial: one at a time in this process; "
        "ray: on a Ray cluster",
    )
    parser.add_argument(
        "--address",
        default="",
        metavar="HOST:PORT",
        help="with --executor ray: address of a running cluster, or auto to find it; without it a cluster is "
        "started on this machine",
    )
    parser.add_argument(
        "--workers", metavar="N", help="number of runs in parallel (default: number of processors; on a GPU 1)"
    )
    parser.add_argument("--threads", default="1", metavar="N", help="threads of each run (default: 1)")
    parser.add_argument(
        "--device", default="auto", metavar="DEVICE", help="auto (default), cpu, cuda or cuda:N"
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
        help="change a setting of all tasks that have it, or of one task with TASK.KEY=VALUE; repeatable",
    )
    parser.add_argument(
        "--preset",
        metavar="NAME",
        help=f"use a set of settings, most of them of a paper: {', '.join(preset_names())}, or a file of your "
        "own (.toml); --set overrides them",
    )
    parser.add_argument(
        "--log",
        metavar="TRACKER",
        help="also log the runs to tensorboard, trackio or wandb (offline unless WANDB_MODE is set)",
    )
    parser.add_argument(
        "--keep-models",
        action="store_true",
        help="save the trained models in OUT/artifacts, for --eval-only and `cellzoo export`",
    )
    parser.add_argument(
        "--eval-only",
        action="store_true",
        help="do not train: evaluate saved models on dev and test, and compare with their records",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="only show what would be run and how long it will take"
    )
    parser.add_argument(
        "--measure",
        action="store_true",
        help="with --dry-run: train a few batches to estimate the time where no record of it exists",
    )


def _execute(options: argparse.Namespace) -> int:
    from cellzoo.system.streams import console as terminal
    from tasks.runs.trackers import find_tracker

    console = terminal()
    request: dict[str, Any] = {
        "suite": options.suite,
        "cells": split_cells(options.cells),
        "seeds": parse_seeds(options.seeds),
        "data": options.data,
        "settings": parse_settings(options.settings),
        "budget": options.budget,
        "preset": options.preset,
        "keep_models": options.keep_models,
    }
    workers = None if options.workers is None else _number("--workers", options.workers)
    threads = _number("--threads", options.threads)
    silence = parse_seconds("--longest-silence", options.longest_silence)
    confirm = 0 if options.confirm is None else _number("--confirm", options.confirm)
    tune = 0 if options.tune is None else _number("--tune", options.tune)
    tracker = None if options.log is None else find_tracker(options.log)
    if options.measure and not options.dry_run:
        raise CellzooError("--measure belongs to --dry-run: without that it would train everything")
    if options.dry_run:
        from tasks.runs.run import ExecutorSettings

        ExecutorSettings(options.executor, workers, threads, options.device, silence, options.address).check()
        pace = workers or os.cpu_count() or 1, options.measure
        return _dry_run(request, options.out, (tune, confirm), pace, console)

    if options.eval_only:
        if tune or confirm:
            raise CellzooError("--eval-only trains nothing, so it goes with neither --tune nor --confirm")
        return _evaluate(request, options.out, options.device, console)

    from tasks.runs.progress import show_progress
    from tasks.runs.run import run_suite
    from tasks.runs.tracking import TrackedListener

    listener: Listener = show_progress(console)
    tracked = None
    if tracker is not None:
        listener = tracked = TrackedListener(listener, tracker, typed_path(options.out, "--out"))
    report = run_suite(
        **request,
        tune=tune,
        confirm=confirm,
        out=options.out,
        executor=options.executor,
        workers=workers,
        threads=threads,
        device=options.device,
        longest_silence=silence,
        address=options.address,
        listener=listener,
    )
    _show_report(report if tracked is None else report.with_notes(tracked.notes), console)
    report.raise_for_failures()
    return 0


def _evaluate(request: dict[str, Any], out: str, device: str, console: Console) -> int:
    from tasks.runs.device import resolve_device
    from tasks.runs.evaluate import evaluate_again
    from tasks.runs.run import request_plan

    plan = request_plan(**{**request, "keep_models": True})
    differing = 0
    for found in evaluate_again(plan, typed_path(out, "--out"), resolve_device(device)):
        say(console, str(found))
        differing += bool(found.differing)
    if differing:
        models = "1 model is" if differing == 1 else f"{differing} models are"
        raise RunError(f"{models} not what the records say")
    return 0


def parse_seeds(text: str) -> int | list[int]:
    """Read what `--seeds` takes: a number of seeds, or a list of seeds with at least one comma.

    Raises:
        CellzooError: Neither.
    """
    if re.fullmatch(r"\d{1,10}", text.strip(), re.ASCII):
        return int(text.strip())
    parts = [part.strip() for part in text.strip().removesuffix(",").split(",")]
    if not all(re.fullmatch(r"\d{1,10}", part, re.ASCII) for part in parts):
        raise CellzooError(f"--seeds {text!r}: expected how many, such as 5, or a list of seeds, such as 0,3,7")
    return [int(part) for part in parts]


def parse_settings(pairs: list[str]) -> dict[str, Any]:
    """Read what `--set` takes, several times.

    Raises:
        CellzooError: No `=`, or a setting given twice.
    """
    from tasks.settings import Typed

    settings: dict[str, Any] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        key = key.strip()
        if not sign or not key:
            raise CellzooError(f"--set {pair!r}: expected KEY=VALUE or TASK.KEY=VALUE, such as epochs=4")
        if key in settings:
            raise CellzooError(f"--set {pair!r}: {key} is given twice")
        settings[key] = Typed(value.strip())
    return settings


def parse_seconds(option: str, text: str) -> float:
    """Read seconds.

    Raises:
        CellzooError: Not a number above 0.
    """
    if not re.fullmatch(r"\d{1,9}(\.\d{1,3})?", text.strip(), re.ASCII) or not float(text) > 0:
        raise CellzooError(f"{option} {text!r:.40}: expected seconds above 0, such as 600")
    return float(text)


def _number(option: str, text: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,3}", text, re.ASCII):
        raise CellzooError(f"{option} {text!r}: expected a whole number from 1 to 9999")
    return int(text)


def _dry_run(
    request: dict[str, Any], out: str, more: tuple[int, int], pace: tuple[int, bool], console: Console
) -> int:
    """Show what would be run.

    Args:
        request: Of `request_plan`.
        out: The output folder.
        more: Trials of `--tune` and seeds of `--confirm`.
        pace: Runs at a time, and whether times are measured.
        console: Where to write.
    """
    from tasks.runs.execute import ARTIFACTS
    from tasks.runs.failed import FailureStore
    from tasks.runs.forecast import forecast
    from tasks.runs.run import request_plan, survey_plan
    from tasks.runs.store import RecordStore
    from tasks.runs.tune import plan_trials

    tune, confirm = more
    folder = typed_path(out, "--out")
    plan = request_plan(**request)
    if tune:
        trials = plan_trials(plan, tune)
        plan = replace(plan, jobs=trials.jobs, notes=(*plan.notes, *trials.notes))
    survey = survey_plan(plan, RecordStore(folder))
    jobs = [job for job in plan.jobs if job.key not in survey.records]
    again, notes = plan.remake(jobs, folder / ARTIFACTS)
    plan.check_data(jobs)
    _show_plan(plan, console)
    failed = {one.key: one.message for one in FailureStore(folder).read()}
    for job in plan.jobs:
        state = "there   " if job.key in survey.records else "to do   "
        state = "again   " if any(job.key == other.key for other in again) else state
        why = failed.get(job.key, "") if job.key not in survey.records else ""
        line = f"{state}{job.label}" + (f" (failed before: {why})" if why else "")
        say(console, line)
    for note in (*plan.notes, *notes, *survey.strangers):
        say(console, f"note: {note}")
    if tune:
        say(console, "then the best configuration of each cell on the seeds")
    if confirm:
        say(console, f"then the best cell of each task on {confirm} fresh seeds")
    for line in forecast(plan, [*again, *jobs], RecordStore(folder).folder, pace[0], measures=pace[1]):
        say(console, line)
    to_do = len(plan.jobs) - len(survey.records)
    say(console, f"{to_do} to do, {len(survey.records)} there already; nothing was written")
    return 0


def _show_plan(plan: RunPlan, console: Console) -> None:
    for planned in plan.tasks:
        settings = ", ".join(f"{key} = {json.dumps(value)}" for key, value in planned.settings.items())
        say(console, f"task {planned.name}: {settings}")
        for cell, values in planned.differences.items():
            others = ", ".join(f"{key} = {json.dumps(value)}" for key, value in values.items())
            line = f"task {planned.name}, {cell}: {others}"
            say(console, line)
    for found in plan.data.values():
        files = ", ".join(str(path) for path in found.files.values())
        say(console, f"data {found.name}: {found.origin}" + (f" ({files})" if files else ""))


def _show_report(report: RunReport, console: Console) -> None:
    of_runs = dict.fromkeys(note for record in report.records for note in record.notes)
    shown = list(dict.fromkeys([*report.notes, *of_runs]))
    more = len(shown) - _NOTES_SHOWN
    if more > 0:
        shown[_NOTES_SHOWN:] = [f"{more} more in the records"]
    for note in shown:
        sys.stderr.write(printable(f"cellzoo: note: {note}\n"))
    for line in report.averages:
        say(console, line)
    there = len(report.records) - report.made
    parts = [f"{report.made} made now", f"{there} there before", f"{len(report.failures)} failed"]
    records = "1 record" if len(report.records) == 1 else f"{len(report.records)} records"
    say(console, f"{records} in {report.out / 'records'}: {', '.join(parts)}")


COMMAND = Command(
    name="run",
    summary="train and evaluate cells on tasks",
    description=_DESCRIPTION,
    examples=_EXAMPLES,
    configure=_configure,
    execute=_execute,
)

"""`cellzoo reproduce`: repeats a result with a new seed and compares it with the runs that are there."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cellzoo.cli.command import Command
from cellzoo.errors import CellzooError, RecordError
from cellzoo.system.paths import path_option, typed_path
from cellzoo.system.text import printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from leaderboards.collect import Collection
    from tasks.runs.record import RunRecord

FEWEST_DIGITS = 4
_DIGITS = re.compile(rf"[0-9a-f]{{{FEWEST_DIGITS},64}}…?")

_DESCRIPTION = """\
Run a cell once more with the settings of a record and a seed that was not used yet, and say whether the new
result lies in the 95 % prediction interval of the existing runs. One run in twenty falls outside by chance."""


def find_record(collection: Collection, digits: str) -> RunRecord:
    """Find the only record whose key begins with `digits`.

    Raises:
        RecordError: There is none, or there are several.
    """
    found = [record for record in collection.records if record.key.startswith(digits.removesuffix("…"))]
    if len(digits) < FEWEST_DIGITS or len(found) != 1:
        raise RecordError(
            f"key {digits!r} matches {len(found)} of {len(collection.records)} records; give at least "
            f"{FEWEST_DIGITS} digits of the key: the name of a record's file ends in it, and a board shows it"
        )
    return found[0]


def siblings(collection: Collection, record: RunRecord) -> list[RunRecord]:
    """All runs of the same cell, task, settings and data, by seed, without trials of `--tune`."""

    def identity(of: RunRecord) -> str:
        cell = of.cell.hash or of.cell.name
        return json.dumps(
            [of.task.name, of.task.revision, cell, of.configuration, _digests(of)], sort_keys=True
        )

    wanted = identity(record)
    found = [r for r in collection.records if r.purpose != "tuning" and identity(r) == wanted]
    return sorted(found, key=lambda r: r.seed)


def run_arguments(record: RunRecord, seed: int, cell_file: Path, out: Path, data: str | None) -> list[str]:
    """The arguments of `cellzoo run` for one more run of a record."""
    from leaderboards.render.cards import setting_arguments

    given = ["run", record.task.name, "--cells", str(cell_file), "--seeds", f"{seed},", "--out", str(out)]
    return [*given, *setting_arguments(record), *(["--data", data] if data else [])]


def verdict(runs: Sequence[RunRecord], new: RunRecord) -> str:
    """Say whether a new run lies in the prediction interval of the others."""
    from leaderboards.render import numbers
    from leaderboards.stats.seeds import prediction_interval, scale_of

    name = new.primary
    digits = new.metrics[name].digits
    measured = new.score
    if measured is None:
        return f"{name} is undefined on this data, so there is nothing to compare"
    value = numbers.metric(measured, digits)
    if not runs:
        return f"{name} is {value}; there is no run with another seed, so it cannot be compared"
    if (new.task.revision, _digests(new)) != (runs[0].task.revision, _digests(runs[0])):
        return f"{name} is {value}, but with another revision of the task or other data: it cannot be compared"
    ends = prediction_interval([r.value(name) for r in runs if r.score is not None], scale_of(name))
    if ends is None:
        return f"{name} is {value}; there is one other run only, which has no spread, so it cannot be compared"
    low, high = ends
    place = "lies in" if low <= measured <= high else "lies OUTSIDE"
    interval = numbers.interval(ends, digits)
    return f"{name} is {value}: it {place} the prediction interval {interval} of {numbers.seeds(len(runs))}"


def _digests(record: RunRecord) -> dict[str, dict[str, str]]:
    return {name: reference.sha256 for name, reference in record.data.items()}


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "key", metavar="KEY", help=f"the first digits of a record's key, at least {FEWEST_DIGITS}"
    )
    parser.add_argument("results", nargs="+", metavar="RESULTS", help="output folders of `cellzoo run`")
    parser.add_argument(
        "--out",
        type=path_option("--out"),
        default=Path("reproduced"),
        metavar="DIR",
        help="output folder of the new run; default reproduced",
    )
    parser.add_argument("--data", metavar="DIR", help="folder with the original files of data sets")
    parser.add_argument(
        "--seed", type=int, metavar="N", help="seed of the new run; default: one more than the highest used"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print the `cellzoo run` command, and run nothing"
    )


def _execute(options: argparse.Namespace) -> int:
    import shlex

    from cellzoo.cli.main import main
    from cellzoo.system.atomic import output_errors, write_atomically
    from leaderboards.collect import collect

    digits, results = _key_first([options.key, *options.results])
    collection = collect([typed_path(text, "results") for text in results], skip_bad=True)
    record = find_record(collection, digits)
    if record.cell.hash is None:
        raise CellzooError(
            f"{record.cell.name} is a baseline of {record.task.name}: run the task to run it again"
        )
    runs = siblings(collection, record)
    seed = max(r.seed for r in runs) + 1 if options.seed is None else options.seed
    cell_file = options.out / "cells" / f"{record.cell.name}.toml"
    arguments = run_arguments(record, seed, cell_file, options.out, options.data)
    sys.stdout.write(printable(f"cellzoo {shlex.join(arguments)}\n"))
    if options.dry_run:
        return 0
    with output_errors(cell_file.parent):
        cell_file.parent.mkdir(parents=True, exist_ok=True)
    fields = {"name": record.cell.name, "notation": record.cell.notation, "genotype": record.cell.genotype}
    # A JSON string is a TOML string, except for surrogate pairs, which are not escaped here, and for U+007F.
    text = "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in fields.items())
    if record.cell.init:
        rules = (f"{json.dumps(key)} = {json.dumps(rule)}" for key, rule in record.cell.init.items())
        text += f"init = {{ {', '.join(rules)} }}\n"
    write_atomically(cell_file, text.replace("\x7f", "\\u007F").encode())
    if code := main(arguments):
        return code
    made = [
        r
        for r in collect([options.out]).records
        if (r.task.name, r.cell.hash, r.seed) == (record.task.name, record.cell.hash, seed)
        and r.configuration == record.configuration
    ]
    if not made:
        raise RecordError(f"{options.out}: the run left no record under the settings of {record.key[:12]}…")
    # The folder may hold a run of the same seed on other data, of an earlier command.
    new = next((r for r in made if r.task == record.task and _digests(r) == _digests(record)), made[-1])
    sys.stdout.write(printable(verdict([r for r in runs if r.seed != seed], new) + "\n"))
    return 0


def _key_first(words: list[str]) -> tuple[str, list[str]]:
    """Split the words into the key and the folders, in whatever order they were typed."""
    keys = [word for word in words if _DIGITS.fullmatch(word) and not Path(word).exists()]
    key = keys[0] if len(keys) == 1 else words[0]
    place = words.index(key)
    return key, [*words[:place], *words[place + 1 :]]


COMMAND = Command(
    name="reproduce",
    summary="repeat a result with a new seed, and compare it with the others",
    description=_DESCRIPTION,
    examples="  cellzoo reproduce 1b0c3a5e results              into the folder reproduced\n"
    "  cellzoo reproduce 1b0c3a5e results --dry-run    only show the command",
    configure=_configure,
    execute=_execute,
)

"""`cellzoo reproduce`: run one more training of a row, and say whether it is one of its kind."""

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
Run a cell once more under the settings of a record, with a seed that was not used yet, and say whether the
number lies in the 95 % prediction interval of the runs that are there. One new run in twenty falls outside by
chance."""


def find_record(collection: Collection, digits: str) -> RunRecord:
    """The one record whose key begins like this.

    Raises:
        RecordError: None, or several.
    """
    found = [record for record in collection.records if record.key.startswith(digits.removesuffix("…"))]
    if len(digits) < FEWEST_DIGITS or len(found) != 1:
        count = "no record" if not found else f"{len(found)} records"
        raise RecordError(
            f"key {digits!r}: {count} of {len(collection.records)} begin so; give at least {FEWEST_DIGITS} "
            "digits of the key, as a board's card or a file's name ends in it"
        )
    return found[0]


def siblings(collection: Collection, record: RunRecord) -> list[RunRecord]:
    """All runs of the same cell, task, settings and data, by seed; trials of a tuning are none."""

    def identity(of: RunRecord) -> str:
        data = {name: reference.sha256 for name, reference in of.data.items()}
        cell = of.cell.hash or of.cell.name
        return json.dumps([of.task.name, of.task.revision, cell, of.configuration, data], sort_keys=True)

    wanted = identity(record)
    found = [r for r in collection.records if r.purpose != "tuning" and identity(r) == wanted]
    return sorted(found, key=lambda r: r.seed)


def run_arguments(record: RunRecord, seed: int, cell_file: Path, out: Path, data: str | None) -> list[str]:
    """The arguments of `cellzoo run` for one more run of a record."""
    given = ["run", record.task.name, "--cells", str(cell_file), "--seeds", f"{seed},", "--out", str(out)]
    for name, value in sorted(record.configuration.items()):
        text = value if isinstance(value, str) else json.dumps(value)
        given += ["--set", f"{name}={text}"]
    return [*given, "--data", data] if data else given


def verdict(runs: Sequence[RunRecord], new: RunRecord) -> str:
    """Say where a new run lies among the others."""
    from leaderboards.render import numbers
    from leaderboards.stats.seeds import prediction_interval, scale_of

    name = new.primary
    digits = new.metrics[name].digits
    measured = new.score
    if measured is None:
        return f"{name} is undefined on this data, so there is nothing to compare"
    value = numbers.metric(measured, digits)
    data = [{key: reference.sha256 for key, reference in r.data.items()} for r in (runs[0], new)]
    if (new.task.revision, data[1]) != (runs[0].task.revision, data[0]):
        return (
            f"{name} is {value}, but of another revision of the task or other data: nothing to compare it with"
        )
    ends = prediction_interval([r.value(name) for r in runs if r.score is not None], scale_of(name))
    if ends is None:
        return f"{name} is {value}; one run alone has no spread, so there is nothing to compare it with"
    low, high = ends
    place = "lies in" if low <= measured <= high else "lies OUTSIDE"
    interval = numbers.interval(ends, digits)
    return f"{name} is {value}: it {place} the prediction interval {interval} of {numbers.seeds(len(runs))}"


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("key", metavar="KEY", help="the first digits of a record's key")
    parser.add_argument("results", nargs="+", metavar="RESULTS", help="where the records lie")
    parser.add_argument(
        "--out",
        type=path_option("--out"),
        default=Path("reproduced"),
        metavar="DIR",
        help="where the new run goes",
    )
    parser.add_argument("--data", metavar="DIR", help="folder with the original files of data sets")
    parser.add_argument("--seed", type=int, metavar="N", help="default: the first that was not used yet")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be run")


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
    # A JSON string is a TOML string, but for the two halves of rare characters, and for U+007F.
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
    sys.stdout.write(printable(verdict([r for r in runs if r.seed != seed], made[-1]) + "\n"))
    return 0


def _key_first(words: list[str]) -> tuple[str, list[str]]:
    """Tell the key from folders, wherever it was typed."""
    keys = [word for word in words if _DIGITS.fullmatch(word) and not Path(word).exists()]
    key = keys[0] if len(keys) == 1 else words[0]
    place = words.index(key)
    return key, [*words[:place], *words[place + 1 :]]


COMMAND = Command(
    name="reproduce",
    summary="run one more training of a result, and say whether it is one of its kind",
    description=_DESCRIPTION,
    examples="  cellzoo reproduce 1b0c3a5e results              into the folder reproduced",
    configure=_configure,
    execute=_execute,
)

"""Finds, reads and validates run records in files and folders, and removes duplicates.

A file that is not a valid record is never ignored silently: `collect` raises one error that lists all such
files or, with `skip_bad`, returns them as faults, which the board's page lists. Nothing here writes.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cellzoo.errors import RecordError
from tasks.runs.failed import FailureStore
from tasks.runs.record_file import read_record
from tasks.runs.store import FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from tasks.runs.failed import FailedRun
    from tasks.runs.record import RunRecord

SHOWN_FAULTS = 20
LARGEST_RECORD = 16 << 20
TIMES = "seconds"
"""Prefix of metrics that are times: they differ from run to run, so they are not compared."""


@dataclass(frozen=True)
class Fault:
    """A file that is left out, and why. `message` is complete and names the file."""

    path: Path
    message: str


@dataclass(frozen=True)
class Collection:
    """The records that were read.

    Attributes:
        records: One record for each key, ordered by task, cell and seed.
        faults: Files that were left out; empty unless `skip_bad` was set.
        repeats: Number of files whose result was already read from another file.
        items: Key -> file of the per-item statistics.
        failed: Runs that failed, ordered by task, cell and seed.
    """

    records: tuple[RunRecord, ...]
    faults: tuple[Fault, ...]
    repeats: int
    items: Mapping[str, Path] = field(default_factory=dict)
    failed: tuple[FailedRun, ...] = ()


def collect(sources: Sequence[Path], *, skip_bad: bool = False) -> Collection:
    """Read every record in `sources`.

    Args:
        sources: Record files, `records` folders, folders that hold one, or folders that hold such folders.
        skip_bad: Leave invalid files out and report them as faults instead of raising an error.

    Raises:
        RecordError: A source holds no record. Without `skip_bad` also: a file is truncated, edited or not a
            record, or two files contradict each other; the message lists all such files.
    """
    read: list[tuple[Path, RunRecord]] = []
    faults: list[Fault] = []
    for path in _files(sources, faults):
        try:
            read.append((path, read_valid_record(path)))
        except RecordError as error:
            faults.append(Fault(path, str(error)))
    records, contradictions, repeats = _deduplicated(read)
    faults += contradictions
    if faults and not skip_bad:
        raise RecordError(_refusal(faults))
    if not records:
        raise RecordError("no valid record is left:\n" + listed(faults))
    records.sort(key=lambda r: (r.task.name, r.task.revision, r.cell.kind, r.cell.name, r.seed, r.key))
    items: dict[str, Path] = {}
    for path, record in read:
        beside = path.parent / record.items.file
        # A copy of the record may lie where its items were not copied to.
        if record.key not in items or not items[record.key].exists():
            items[record.key] = beside
    done = {record.key for record in records}
    return Collection(
        tuple(records),
        tuple(faults),
        repeats,
        {r.key: items[r.key] for r in records},
        tuple(one for one in _failed({path.parent for path, _ in read}) if one.key not in done),
    )


def _failed(folders: Iterable[Path]) -> list[FailedRun]:
    """The failed runs of all output folders whose records were read, without duplicates."""
    stores = [FailureStore(folder.parent) for folder in sorted(folders) if folder.name == FOLDER]
    found = {one.key: one for store in stores for one in store.read()}
    return sorted(found.values(), key=lambda one: (one.task.name, one.cell.name, one.seed, one.key))


def read_valid_record(path: Path) -> RunRecord:
    """Read one record from a regular file of at most `LARGEST_RECORD` bytes.

    Raises:
        RecordError: The file is not a valid record.
    """
    check_regular(path, LARGEST_RECORD, "a run record")
    try:
        return read_record(path)
    except RecursionError:
        raise RecordError(f"{path}: is nested too deeply for a run record") from None


def check_regular(path: Path, largest: int, what: str) -> None:
    """Refuse files whose reading could block or exhaust memory: pipes, devices, sockets, very large files.

    Raises:
        RecordError: It is not a regular file, or larger than `largest` bytes.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode):
        raise RecordError(f"{path}: is not a regular file; {what} is one")
    if found.st_size > largest:
        raise RecordError(f"{path}: has {found.st_size:,} bytes; {what} has at most {largest:,}")


def _files(sources: Iterable[Path], faults: list[Fault]) -> Iterator[Path]:
    """Yield each record file once, in the order of the sources, sorted by name within a source."""
    seen: set[Path] = set()
    for source in sources:
        try:
            found = _files_of(source, faults)
        except OSError as error:
            raise RecordError(f"{error.filename or source}: cannot be read: {error.strerror}") from error
        for path in found:
            if (real := path.resolve()) not in seen:
                seen.add(real)
                yield path


def _files_of(source: Path, faults: list[Fault]) -> list[Path]:
    """Record files of one source.

    Raises:
        RecordError: There is none.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        if source.exists():
            raise RecordError(f"{source}: is not a regular file or folder")
        raise RecordError(f"{source}: no such file or folder; give the folder that `cellzoo run` wrote to")
    before = len(faults)
    folders = [source] if source.name == FOLDER else [*record_folders(source, faults)] or [source]
    found = sorted({path for folder in folders for path in _json_files(folder)})
    if not found and len(faults) == before:
        raise RecordError(
            f"{source}: holds no run records (looked for records/*.json); "
            "`cellzoo run` and `cellzoo demo` write them"
        )
    return found


def record_folders(source: Path, faults: list[Fault]) -> Iterator[Path]:
    """Yield every folder named `records` below `source` once; follows symbolic links, also in cycles.

    A broken link is a fault: it may have pointed at results.
    """
    seen: set[tuple[int, int]] = set()
    waiting = [source]
    while waiting:
        folder = waiting.pop()
        found = folder.stat()
        if (found.st_dev, found.st_ino) in seen:
            continue
        seen.add((found.st_dev, found.st_ino))
        if folder.name == FOLDER and folder != source:
            yield folder
        below = []
        with os.scandir(folder) as entries:
            for entry in entries:
                path = folder / entry.name
                if entry.is_symlink() and not path.exists():
                    faults.append(Fault(path, f"{path}: is a link to {path.readlink()}, which is not there"))
                elif entry.is_dir():
                    below.append(path)
        waiting += sorted(below, reverse=True)


def _json_files(folder: Path) -> list[Path]:
    """The files named like records, of any kind: `read_valid_record` refuses those that are not valid."""
    with os.scandir(folder) as entries:
        return [
            folder / entry.name
            for entry in entries
            if entry.name.endswith(".json")
            and entry.name[0] != "."
            and not (entry.is_symlink() and not (folder / entry.name).exists())
            and not entry.is_dir()
        ]


def _deduplicated(read: Iterable[tuple[Path, RunRecord]]) -> tuple[list[RunRecord], list[Fault], int]:
    """Keep one record for each key; where two files give different results, keep neither and report a fault."""
    kept: dict[str, tuple[Path, RunRecord]] = {}
    contradicted: set[str] = set()
    faults = []
    repeats = 0
    for path, record in read:
        if record.key not in kept:
            kept[record.key] = (path, record)
            continue
        first_path, first = kept[record.key]
        if difference := _difference(first, record):
            contradicted.add(record.key)
            faults.append(
                Fault(
                    path,
                    f"{path}: contradicts {first_path}: the same task, cell, configuration, data and seed "
                    f"({record.task.name}, {record.cell.name}, seed {record.seed}), but {difference}. "
                    "Give only one of the two.",
                )
            )
        else:
            repeats += 1
    return [record for key, (_, record) in kept.items() if key not in contradicted], faults, repeats


def _difference(first: RunRecord, second: RunRecord) -> str:
    """Describe the first difference between two results of one key; empty if they agree.

    Times, code and environment may differ: the second result then reproduces the first.
    """
    a, b = _results(first), _results(second)
    for name in dict.fromkeys([*a, *b]):
        if a.get(name) != b.get(name):
            return f"{name} is {a.get(name, 'absent')} there and {b.get(name, 'absent')} here"
    return ""


def _results(record: RunRecord) -> dict[str, Any]:
    return {
        **{
            f"metrics.{name}": metric.value
            for name, metric in record.metrics.items()
            if not name.startswith(TIMES)
        },
        **{f"parameters.{name}": count for name, count in record.parameters},
        "primary": record.primary,
        "flops_per_token": record.flops_per_token,
        "tokens": record.tokens,
        "items.sha256": record.items.sha256,
    }


def _refusal(faults: Sequence[Fault]) -> str:
    files = "1 file is not a valid record" if len(faults) == 1 else f"{len(faults)} files are not valid records"
    advice = "Nothing was written. With --skip-bad they are left out and listed on the page."
    return f"{files}:\n{listed(faults)}\n{advice}"


def listed(faults: Sequence[Fault]) -> str:
    """The first `SHOWN_FAULTS` faults, one line each."""
    lines = [f"  {fault.message}" for fault in faults[:SHOWN_FAULTS]]
    if len(faults) > SHOWN_FAULTS:
        lines.append(f"  and {len(faults) - SHOWN_FAULTS} more")
    return "\n".join(lines)

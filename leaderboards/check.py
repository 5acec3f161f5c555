"""Checks a results folder for `cellzoo board --check`.

Reading a record already validates its schema, key and digest. In addition, this checks the per-item file of
each record and compares the folder with a snapshot of an earlier state. Duplicates, and tasks with several
revisions or different data, are reported as notes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellzoo.errors import RecordError
from leaderboards.collect import check_regular
from leaderboards.evidence import LARGEST_ITEMS, run_contributions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from leaderboards.collect import Collection
    from tasks.runs.record import RunRecord


@dataclass(frozen=True)
class CheckReport:
    """The result of a check.

    Attributes:
        records: Number of valid records.
        faults: Errors; with any of them the check fails.
        notes: Facts worth knowing that are no errors: several revisions, different data, duplicates.
        superseded: Keys of records of a task revision for which there are records of a later one.
    """

    records: int
    faults: tuple[str, ...]
    notes: tuple[str, ...]
    superseded: frozenset[str]


def check(collection: Collection, snapshot: Mapping[str, str] | None = None) -> CheckReport:
    """Check records that were collected with `skip_bad`.

    Args:
        collection: The records, and the files that were left out.
        snapshot: Key -> digest of the items, of an earlier state; None to compare with nothing.
    """
    faults = [fault.message for fault in collection.faults]
    for record in collection.records:
        faults += _items(collection, record)
    if snapshot is not None:
        faults += _vanished(collection, snapshot)
    superseded = superseded_keys(collection)
    return CheckReport(
        len(collection.records), tuple(faults), tuple(_mixed(collection, superseded)), superseded
    )


def snapshot_of(collection: Collection) -> str:
    """The snapshot of a collection for later checks, as JSON text: key -> digest of the items."""
    content = {record.key: record.items.sha256 for record in collection.records}
    return json.dumps(content, indent=0, sort_keys=True) + "\n"


def read_snapshot(path: Path) -> dict[str, str]:
    """Read a snapshot that `snapshot_of` wrote.

    Raises:
        RecordError: The file is not a snapshot.
    """
    check_regular(path, LARGEST_ITEMS, "a snapshot")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(f"{path}: is not a snapshot of `cellzoo board --check` ({error})") from error
    if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
        raise RecordError(f"{path}: is not a snapshot of `cellzoo board --check` (expected key -> digest)")
    return content


def superseded_keys(collection: Collection) -> frozenset[str]:
    """Keys of the records whose task revision is not the latest one of that task in the collection."""
    latest: dict[str, int] = {}
    for record in collection.records:
        latest[record.task.name] = max(latest.get(record.task.name, 0), record.task.revision)
    return frozenset(r.key for r in collection.records if r.task.revision < latest[r.task.name])


def render_report(report: CheckReport) -> str:
    """The report as text, one finding per line."""
    lines = [_count(report.records, "valid record")]
    lines += [f"fault: {fault}" for fault in report.faults]
    lines += [f"note: {note}" for note in report.notes]
    lines.append(f"{_count(len(report.faults), 'fault')}, {_count(len(report.notes), 'note')}")
    return "\n".join(lines) + "\n"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _items(collection: Collection, record: RunRecord) -> Iterator[str]:
    """Check that the items are those that the record names, and that the metric follows from them."""
    path = collection.items.get(record.key)
    if path is None:
        return
    try:
        check_regular(path, LARGEST_ITEMS, "a file of items")
        content = path.read_bytes()
    except (RecordError, OSError) as error:
        yield f"{error}" if isinstance(error, RecordError) else f"{path}: cannot be read: {error.strerror}"
        return
    digest = hashlib.sha256(content).hexdigest()
    if digest != record.items.sha256:
        yield f"{path}: sha256 is {digest[:12]}…, but its record says {record.items.sha256[:12]}…"
        return
    count = sum(1 for line in content.split(b"\n") if line)
    if count != record.items.count:
        yield f"{path}: holds {count} items, but its record says {record.items.count}"
    try:
        run_contributions(record, record.primary, path)
    except RecordError as error:
        yield str(error)


def _vanished(collection: Collection, snapshot: Mapping[str, str]) -> Iterator[str]:
    there = {record.key: record.items.sha256 for record in collection.records}
    for key, digest in sorted(snapshot.items()):
        if key not in there:
            yield f"record {key[:12]}… was in the snapshot and is gone"
        elif there[key] != digest:
            yield f"record {key[:12]}…: its items differ from those in the snapshot"


def _mixed(collection: Collection, superseded: frozenset[str]) -> Iterator[str]:
    revisions: dict[str, set[int]] = {}
    contents: dict[str, set[str]] = {}
    for record in collection.records:
        revisions.setdefault(record.task.name, set()).add(record.task.revision)
        data = {name: reference.sha256 for name, reference in record.data.items()}
        contents.setdefault(record.task.name, set()).add(json.dumps(data, sort_keys=True))
    for task, found in sorted(revisions.items()):
        if len(found) > 1:
            of_task = sum(r.key in superseded for r in collection.records if r.task.name == task)
            listed = ", ".join(map(str, sorted(found)))
            count = f"{_count(of_task, 'record')} superseded"
            yield f"task {task!r} has records of revisions {listed}, in separate tables ({count})"
    for task, texts in sorted(contents.items()):
        if len(texts) > 1:
            yield f"task {task!r} was run on {len(texts)} different versions of its data, in separate tables"
    if collection.repeats:
        yield f"{_count(collection.repeats, 'duplicate')} of results in other files"

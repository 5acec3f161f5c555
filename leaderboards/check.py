"""A store of records checks itself: every fault by file, and what one column must not mix.

Beyond what reading a record checks (schema, key and digest equal its content), this looks at the items beside
it, at files that hold one result twice, at tasks that stand in several revisions or with several contents of
data, and at what a snapshot says was there.
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
    """What a check found.

    Attributes:
        records: Number of sound records.
        faults: What is wrong: the check fails.
        notes: What a reader should know: several revisions or contents of data, copies.
        superseded: Keys of records of a task revision that a later one replaced.
    """

    records: int
    faults: tuple[str, ...]
    notes: tuple[str, ...]
    superseded: frozenset[str]


def check(collection: Collection, snapshot: Mapping[str, str] | None = None) -> CheckReport:
    """Check records that were collected with faults allowed.

    Args:
        collection: The records and what was left out.
        snapshot: Key -> digest of the items, of an earlier state; None to compare with none.
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
    """What `check` compares a later state with, as JSON text: key -> digest of the items."""
    content = {record.key: record.items.sha256 for record in collection.records}
    return json.dumps(content, indent=0, sort_keys=True) + "\n"


def read_snapshot(path: Path) -> dict[str, str]:
    """Read what `snapshot_of` wrote.

    Raises:
        RecordError: It is something else.
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
    """Records of a task revision below the latest that the collection has of that task."""
    latest: dict[str, int] = {}
    for record in collection.records:
        latest[record.task.name] = max(latest.get(record.task.name, 0), record.task.revision)
    return frozenset(r.key for r in collection.records if r.task.revision < latest[r.task.name])


def render_report(report: CheckReport) -> str:
    """The report as text, one finding a line."""
    lines = [f"{report.records:,} sound records"]
    lines += [f"fault: {fault}" for fault in report.faults]
    lines += [f"note: {note}" for note in report.notes]
    lines.append(f"{len(report.faults)} faults, {len(report.notes)} notes")
    return "\n".join(lines) + "\n"


def _items(collection: Collection, record: RunRecord) -> Iterator[str]:
    """Whether the items are those that the record names, and give its number."""
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
            yield f"record {key[:12]}…: its items are others than in the snapshot"


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
            count = f"{of_task} records are superseded"
            yield f"task {task!r} stands in revisions {listed}, in tables apart: {count}"
    for task, texts in sorted(contents.items()):
        if len(texts) > 1:
            yield f"task {task!r} was run on {len(texts)} different contents of data: in tables apart"
    if collection.repeats:
        yield f"{collection.repeats} files hold a result that another file holds too"

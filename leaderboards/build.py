"""Builds a board from records: groups them into tables, and orders tables and rows."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cellzoo.errors import RecordError
from leaderboards.averages import averages, task_scale
from leaderboards.board import Board, BoardSubject, Confirmation, Cost, MetricColumn, Row, TaskTable
from leaderboards.collect import Fault, listed
from leaderboards.provenance import trace
from leaderboards.published import published_for
from leaderboards.settings import differences, flat_settings, group_by_settings, shared_settings
from leaderboards.standing import TableStanding, compute_standing
from leaderboards.stats.seeds import Summary, scale_of, summarize
from leaderboards.tuned import is_trial, tuning_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from leaderboards.collect import Collection
    from tasks.runs.failed import FailedRun
    from tasks.runs.record import RunRecord

SHORT_HASH = 8


def build_board(collection: Collection, title: str) -> Board:
    """Turn checked records into a board.

    Raises:
        RecordError: Records of one table disagree on the primary metric or on the direction of a metric, or no
            record has a result.
    """
    trials = [record for record in collection.records if is_trial(record)]
    ranked = [record for record in collection.records if not is_trial(record)]
    records = [record for record in ranked if record.score is not None]
    left_out = [_undefined(record) for record in ranked if record.score is None]
    if not ranked:
        raise RecordError(
            "every record is a trial of `--tune`, and the tuning has not ended; run the same command again"
        )
    if not records:
        raise RecordError("no record has a result; the metrics are undefined on its data:\n" + listed(left_out))
    groups = group_by_settings(records)
    for group in groups:
        if all(record.purpose == "confirmation" for record in group):
            left_out += [_unfounded(record) for record in group]
    groups = [group for group in groups if any(record.purpose == "evaluation" for record in group)]
    if not groups:
        raise RecordError(
            "every record is a confirmation (`--confirm`) of runs that are not here:\n" + listed(left_out)
        )
    records = [record for group in groups for record in group]
    subjects = _subjects(records)
    titles = _titles(records)
    tables: list[TaskTable] = []
    for name in titles:
        of_task = [group for group in groups if group[0].task.name == name]
        for index, (group, unlike) in enumerate(zip(of_task, differences(of_task), strict=True)):
            variant = _letter(index) if len(of_task) > 1 else ""
            table = _table(collection, group, subjects, titles[name], variant, unlike)
            table = replace(
                table, tuning=tuning_of(group, trials, subjects), failed=tuple(_failed(collection, group))
            )
            latest = max(members[0].task.revision for members in of_task)
            tables.append(replace(table, superseded_by=latest) if table.revision < latest else table)
    tables.sort(key=lambda table: not table.has_cells)
    return Board(
        title=title,
        tables=tuple(tables),
        subjects=_overview_order(tables),
        provenance=trace(collection),
        left_out=(*collection.faults, *left_out),
        averages=averages(tables, task_scale),
    )


def _undefined(record: RunRecord) -> Fault:
    name = f"{record.task.name} {record.cell.name} seed {record.seed}"
    title = record.metrics[record.primary].title
    return Fault(Path(record.items.file), f"{name}: {title} is undefined on its data, so it is not shown")


def _unfounded(record: RunRecord) -> Fault:
    name = f"{record.task.name} {record.cell.name} seed {record.seed}"
    return Fault(Path(record.items.file), f"{name}: is a confirmation (`--confirm`) of runs that are not here")


def _failed(collection: Collection, group: Sequence[RunRecord]) -> Iterator[FailedRun]:
    """The failed runs of a table; a board lists them, as a cell that often fails is otherwise overrated."""
    wanted = {shared_settings(record) for record in group if collection.failed}
    for one in collection.failed:
        if one.purpose == "evaluation" and shared_settings(one) in wanted:
            yield one


def _values(records: Iterable[RunRecord], metric: str) -> list[float]:
    found = (record.metrics[metric].value for record in records if metric in record.metrics)
    return [value for value in found if value is not None]


def _identity(record: RunRecord) -> str:
    return record.cell.hash or f"baseline:{record.cell.name}"


def _subjects(records: Sequence[RunRecord]) -> dict[str, BoardSubject]:
    """Identity -> subject, in the order of the records."""
    members: dict[str, list[RunRecord]] = {}
    for record in records:
        members.setdefault(_identity(record), []).append(record)
    names = {
        identity: " = ".join(sorted({record.cell.name for record in of_identity}))
        for identity, of_identity in members.items()
    }
    uses = Counter(names.values())
    return {
        identity: BoardSubject(
            name=names[identity],
            hash=of_identity[0].cell.hash,
            tag=(of_identity[0].cell.hash or "")[:SHORT_HASH] if uses[names[identity]] > 1 else "",
            notation=of_identity[0].cell.notation,
            genotype=of_identity[0].cell.genotype,
            origin=of_identity[0].cell.origin,
        )
        for identity, of_identity in members.items()
    }


def _letter(index: int) -> str:
    """A, B, ..., Z, AA, AB, ..."""
    letters = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def _titles(records: Sequence[RunRecord]) -> dict[str, str]:
    """Task name -> title, ordered by title; equal titles of several tasks get the name of the task added."""
    pairs = sorted({(record.task.title.casefold(), record.task.name, record.task.title) for record in records})
    titles = {name: title for _, name, title in pairs}
    uses = Counter(titles.values())
    return {name: title if uses[title] == 1 else f"{title} [{name}]" for name, title in titles.items()}


def _table(
    collection: Collection,
    records: Sequence[RunRecord],
    subjects: Mapping[str, BoardSubject],
    title: str,
    variant: str,
    unlike: Mapping[str, str],
) -> TaskTable:
    columns = _columns(records)
    members = _members([record for record in records if record.purpose == "evaluation"])
    fresh = _members([record for record in records if record.purpose == "confirmation"])
    standing = compute_standing(
        collection, members, columns[0].name, higher_is_better=columns[0].higher_is_better
    )
    rows = [
        _row(subjects[identity], of_subject, columns, standing, identity)
        for identity, of_subject in members.items()
    ]
    return TaskTable(
        task=records[0].task.name,
        revision=records[0].task.revision,
        title=title,
        variant=variant,
        unlike=unlike,
        settings=flat_settings(records[0]),
        columns=columns,
        rows=tuple(sorted(rows, key=_place)),
        absent=tuple(_lacking(subjects, members)),
        standing=standing,
        reported=published_for(records[0].task.name, columns[0].name, higher=columns[0].higher_is_better),
        confirmed=tuple(
            Confirmation(
                subjects[identity],
                tuple(record.seed for record in of_subject),
                summarize(_values(of_subject, columns[0].name), scale_of(columns[0].name)),
            )
            for identity, of_subject in fresh.items()
        ),
    )


def _lacking(subjects: Mapping[str, BoardSubject], members: Mapping[str, object]) -> Iterator[BoardSubject]:
    """The cells of the board without a row in a table that has cells; baselines belong to one task only."""
    if any(not subjects[identity].is_baseline for identity in members):
        for identity, subject in subjects.items():
            if identity not in members and not subject.is_baseline:
                yield subject


def _members(records: Sequence[RunRecord]) -> dict[str, list[RunRecord]]:
    """Identity -> its records, in the order of the seeds."""
    members: dict[str, list[RunRecord]] = {}
    for record in sorted(records, key=lambda record: (record.cell.name, record.seed)):
        members.setdefault(_identity(record), []).append(record)
    for of_subject in members.values():
        of_subject.sort(key=lambda record: (record.seed, record.key))
    return members


def _place(row: Row) -> tuple[bool, int, int, str, str]:
    """Sorting key. Tied rows are sorted by name, as any other order would look like a ranking."""
    rank = row.rank
    first, last = (rank.first, rank.last) if rank else (0, 0)
    return rank is None, first, last, row.subject.name, row.subject.hash or ""


def _columns(records: Sequence[RunRecord]) -> tuple[MetricColumn, ...]:
    """Metric columns, the primary one first, the others in the order of the records."""
    columns: dict[str, MetricColumn] = {}
    primary = records[0].primary
    for record in records:
        if record.primary != primary:
            raise RecordError(
                f"task {record.task.name!r}: records {records[0].key[:12]}… and {record.key[:12]}… have equal "
                f"settings but different primary metrics, {primary!r} and {record.primary!r}"
            )
        for name, metric in record.metrics.items():
            column = MetricColumn(name, metric.title, metric.higher_is_better, metric.digits)
            known = columns.setdefault(name, column)
            if known.higher_is_better != column.higher_is_better:
                raise RecordError(
                    f"task {record.task.name!r}: record {record.key[:12]}… says that a higher {name!r} is "
                    f"{'better' if column.higher_is_better else 'worse'}; another with equal settings says "
                    "the opposite"
                )
    return (columns.pop(primary), *columns.values())


def _row(
    subject: BoardSubject,
    records: Sequence[RunRecord],
    columns: Sequence[MetricColumn],
    standing: TableStanding,
    identity: str,
) -> Row:
    metrics: dict[str, Summary] = {}
    metric_seeds: dict[str, tuple[int, ...]] = {}
    entry = standing.entries.get(identity)
    for column in columns:
        having = [record for record in records if _values([record], column.name)]
        if having:
            if entry is not None and column is columns[0]:
                metrics[column.name] = entry.summary
            else:
                metrics[column.name] = summarize(_values(having, column.name), scale_of(column.name))
            metric_seeds[column.name] = tuple(record.seed for record in having)
    return Row(
        subject=subject,
        seeds=tuple(record.seed for record in records),
        metrics=metrics,
        metric_seeds=metric_seeds,
        rank=None if entry is None else entry.rank,
        cost=_cost(records, subject),
        runs=tuple(records),
        against=None if entry is None else entry.against,
        against_new=None if entry is None else entry.against_new,
        by_item=() if entry is None else entry.by_item,
        is_control=identity == standing.control,
        identity=identity,
    )


def _cost(records: Sequence[RunRecord], subject: BoardSubject) -> Cost:
    of_cell = not subject.is_baseline
    return Cost(
        parameters_cell=_mean(r.parameters.cell for r in records) if of_cell else None,
        parameters_without_embeddings=_mean(r.parameters.total_without_embeddings for r in records),
        parameters_total=_mean(r.parameters.total for r in records),
        flops_per_token=_mean(r.flops_per_token for r in records) if of_cell else None,
        train_seconds=_mean(_measured(r.timing.seconds.get("train") for r in records)),
        tokens_per_second=_mean(_measured(r.timing.tokens_per_second for r in records)),
        milliseconds=_mean(r.timing.latency.median_ms for r in records if r.timing.latency is not None),
    )


def _measured(values: Iterable[float | None]) -> Iterator[float]:
    """The values that were measured, that is, are neither None nor 0."""
    return (value for value in values if value)


def _mean(values: Iterable[float]) -> float | None:
    present = list(values)
    return statistics.mean(present) if present else None


def _overview_order(tables: Sequence[TaskTable]) -> tuple[BoardSubject, ...]:
    """All subjects, cells first, in the order of the first table, then of the second, and so on."""
    places = [{row.subject: place for place, row in enumerate(table.rows)} for table in tables]
    subjects = dict.fromkeys(row.subject for table in tables for row in table.rows)
    return tuple(
        sorted(
            subjects,
            key=lambda subject: (
                subject.is_baseline,
                [place.get(subject, len(place)) for place in places],
                subject.name,
            ),
        )
    )

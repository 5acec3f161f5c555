"""From records to a board: what every renderer shows, as plain data.

A board has one `TaskTable` for each task and settings, an overview of all subjects over all tables, and
the provenance of the numbers. A subject is a cell, identified by the hash of its graph, or a baseline.
Absent results are None throughout; a renderer shows them as missing, never as 0.
"""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cellzoo.errors import RecordError
from leaderboards.collect import Fault, listed
from leaderboards.provenance import Provenance, trace
from leaderboards.published import published_for
from leaderboards.settings import differences, flat_settings, group_by_settings
from leaderboards.standing import TableStanding, stand
from leaderboards.stats.seeds import Summary, scale_of, summarize

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from leaderboards.collect import Collection
    from leaderboards.published import Published
    from leaderboards.stats.families import Comparison
    from leaderboards.stats.ranks import RankRange
    from tasks.runs.record import RunRecord

SHORT_HASH = 8


@dataclass(frozen=True)
class BoardSubject:
    """A row's cell or baseline.

    Attributes:
        name: Its name, or all its names if one graph was run under several.
        hash: 64 hexadecimal digits; None for a baseline.
        tag: First digits of the hash where another subject has the same name, else empty.
        notation: The notation of `genotype`.
        genotype: The cell as text.
        origin: Where the cell came from.
    """

    name: str
    hash: str | None
    tag: str
    notation: str
    genotype: str
    origin: str

    @property
    def is_baseline(self) -> bool:
        """Whether it is a task's own baseline and no cell."""
        return self.hash is None

    @property
    def family(self) -> str:
        """What it is filtered by: the notation that it was published in."""
        return "baseline" if self.is_baseline else self.notation or "unknown"


@dataclass(frozen=True)
class MetricColumn:
    """A metric as a table shows it."""

    name: str
    title: str
    higher_is_better: bool
    digits: int


@dataclass(frozen=True)
class Cost:
    """What a row's runs cost; None where it is unknown or does not apply.

    Attributes:
        parameters_cell: Parameters of the cell's layers.
        parameters_without_embeddings: Parameters of the model but for its embeddings.
        parameters_total: All parameters of the model.
        flops_per_token: Of the cell, forward.
        train_seconds: Mean wall seconds of the phase `train`.
        tokens_per_second: Mean throughput of training.
    """

    parameters_cell: float | None
    parameters_without_embeddings: float | None
    parameters_total: float | None
    flops_per_token: float | None
    train_seconds: float | None
    tokens_per_second: float | None


@dataclass(frozen=True)
class Row:
    """One subject on one task.

    Attributes:
        subject: The cell or baseline.
        seeds: Its seeds, sorted.
        metrics: Metric name -> summary over the seeds that have it, in the order of the seeds.
        metric_seeds: Metric name -> those seeds.
        rank: Range of ranks by the primary metric; None with too few seeds.
        cost: Parameters, operations and time.
        runs: Its records, in the order of the seeds.
        against: Difference from the table's control on this test set; None for the control and the unranked.
        against_new: The same on new test sets, where items are known.
        by_item: (items,) contributions to the primary metric, averaged over seeds; empty where unknown.
        is_control: Whether others are compared with it.
        identity: Of the subject in the table's standing.
    """

    subject: BoardSubject
    seeds: tuple[int, ...]
    metrics: Mapping[str, Summary]
    metric_seeds: Mapping[str, tuple[int, ...]]
    rank: RankRange | None
    cost: Cost
    runs: tuple[RunRecord, ...] = ()
    against: Comparison | None = None
    against_new: Comparison | None = None
    by_item: tuple[float, ...] = ()
    is_control: bool = False
    identity: str = ""


@dataclass(frozen=True)
class TaskTable:
    """All results on one task under equal settings.

    Attributes:
        task: Task name.
        revision: Task revision.
        title: Its title, with the task's name if another task has the same title.
        variant: `A`, `B`, ... where the task has several tables, else empty.
        unlike: Setting -> value, for the settings in which those tables differ.
        settings: All settings that the records share.
        columns: The metrics; the first is the primary one.
        rows: By rank, tied ones by name; those without a rank below, by name.
        absent: Subjects of the board that were not run with these settings.
        standing: What the comparisons of the primary metric say.
        reported: Published results of the task, best first.
        superseded_by: The latest revision of the task on the board, if it is not this one.
    """

    task: str
    revision: int
    title: str
    variant: str
    unlike: Mapping[str, str]
    settings: Mapping[str, str]
    columns: tuple[MetricColumn, ...]
    rows: tuple[Row, ...]
    absent: tuple[BoardSubject, ...]
    standing: TableStanding
    reported: tuple[Published, ...] = ()
    superseded_by: int | None = None

    @property
    def primary(self) -> MetricColumn:
        """The metric that ranks."""
        return self.columns[0]

    @property
    def leaders(self) -> frozenset[BoardSubject]:
        """Subjects that may be the best; empty where no entry is told apart."""
        ranked = [row for row in self.rows if row.rank]
        first = frozenset(row.subject for row in ranked if row.rank and row.rank.first == 1)
        return first if len(first) < len(ranked) else frozenset()

    def row(self, subject: BoardSubject) -> Row | None:
        """The row of `subject`, if it was run."""
        return next((row for row in self.rows if row.subject == subject), None)


@dataclass(frozen=True)
class Board:
    """Everything on the page.

    Attributes:
        title: The heading.
        tables: By task name, revision and settings.
        subjects: Rows of the overview, in the order of the first table; baselines last.
        provenance: Where the numbers come from.
        left_out: Files that were left out, and why.
    """

    title: str
    tables: tuple[TaskTable, ...]
    subjects: tuple[BoardSubject, ...]
    provenance: Provenance
    left_out: tuple[Fault, ...]


def build_board(collection: Collection, title: str) -> Board:
    """Turn checked records into a board.

    Raises:
        RecordError: Records of one table disagree on what the primary metric is or which way is better, or
            none has a result.
    """
    records = [record for record in collection.records if record.score is not None]
    undefined = tuple(_undefined(record) for record in collection.records if record.score is None)
    if not records:
        raise RecordError("no record has a result that its data defines:\n" + listed(undefined))
    subjects = _subjects(records)
    groups = group_by_settings(records)
    titles = _titles(records)
    tables: list[TaskTable] = []
    for name in titles:
        of_task = [group for group in groups if group[0].task.name == name]
        for index, (group, unlike) in enumerate(zip(of_task, differences(of_task), strict=True)):
            variant = _letter(index) if len(of_task) > 1 else ""
            table = _table(collection, group, subjects, titles[name], variant, unlike)
            latest = max(members[0].task.revision for members in of_task)
            tables.append(replace(table, superseded_by=latest) if table.revision < latest else table)
    return Board(
        title=title,
        tables=tuple(tables),
        subjects=_overview_order(tables),
        provenance=trace(collection),
        left_out=(*collection.faults, *undefined),
    )


def _undefined(record: RunRecord) -> Fault:
    name = f"{record.task.name} {record.cell.name} seed {record.seed}"
    title = record.metrics[record.primary].title
    return Fault(Path(record.items.file), f"{name}: {title} is undefined on its data, so it has no place here")


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
    """Task name -> title, by task name; each title stands for one task."""
    titles = {record.task.name: record.task.title for record in sorted(records, key=lambda r: r.task.name)}
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
    members: dict[str, list[RunRecord]] = {}
    for record in sorted(records, key=lambda record: (record.cell.name, record.seed)):
        members.setdefault(_identity(record), []).append(record)
    for of_subject in members.values():
        of_subject.sort(key=lambda record: (record.seed, record.key))
    standing = stand(collection, members, columns[0].name, higher_is_better=columns[0].higher_is_better)
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
        absent=tuple(subject for identity, subject in subjects.items() if identity not in members),
        standing=standing,
        reported=published_for(records[0].task.name, columns[0].name, higher=columns[0].higher_is_better),
    )


def _place(row: Row) -> tuple[bool, int, int, str, str]:
    """Ties stand in the order of names: any other would look like a ranking."""
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
    )


def _measured(values: Iterable[float | None]) -> Iterator[float]:
    """Times and speeds that were measured, so are neither absent nor 0."""
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

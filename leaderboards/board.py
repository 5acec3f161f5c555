"""The data model of a board, which all renderers and exports read.

A board has one `TaskTable` for each task and group of settings, an overview of all subjects over all tables,
and the provenance of the results. A subject is a cell, identified by the hash of its graph, or a baseline.
Missing results are None; renderers show them as missing, never as 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from leaderboards.collect import Fault
    from leaderboards.provenance import Provenance
    from leaderboards.published import Published
    from leaderboards.standing import TableStanding
    from leaderboards.stats.families import Comparison
    from leaderboards.stats.ranks import RankRange
    from leaderboards.stats.seeds import Summary
    from tasks.runs.failed import FailedRun
    from tasks.runs.record import HeldEqual, RunRecord

PROTOCOLS = {"parameters": "equal parameters", "flops": "equal FLOPs", "time": "equal training time"}
"""Names of the quantities that may be held equal for all cells."""


@dataclass(frozen=True)
class BoardSubject:
    """A cell or a baseline.

    Attributes:
        name: Its name, or all its names if one graph was run under several.
        hash: 64 hexadecimal digits; None for a baseline.
        tag: First digits of the hash if another subject has the same name, else empty.
        notation: The notation of `genotype`.
        genotype: The cell as text.
        origin: Where the cell comes from.
    """

    name: str
    hash: str | None
    tag: str
    notation: str
    genotype: str
    origin: str

    @property
    def is_baseline(self) -> bool:
        """Whether it is a baseline of a task, not a cell."""
        return self.hash is None

    @property
    def family(self) -> str:
        """The family by which a page filters: the notation in which the cell was published."""
        return "baseline" if self.is_baseline else self.notation or "unknown"


@dataclass(frozen=True)
class MetricColumn:
    """A metric of a table."""

    name: str
    title: str
    higher_is_better: bool
    digits: int


@dataclass(frozen=True)
class Cost:
    """Means over the runs of a row; None if unknown or not applicable.

    Attributes:
        parameters_cell: Parameters of the cell's layers.
        parameters_without_embeddings: Parameters of the model without embeddings.
        parameters_total: All parameters of the model.
        flops_per_token: FLOPs of the cell in the forward pass.
        train_seconds: Wall-clock seconds of training.
        tokens_per_second: Throughput of training.
        milliseconds: Mean of the median latencies of single test items.
    """

    parameters_cell: float | None
    parameters_without_embeddings: float | None
    parameters_total: float | None
    flops_per_token: float | None
    train_seconds: float | None
    tokens_per_second: float | None
    milliseconds: float | None


@dataclass(frozen=True)
class Row:
    """The results of one subject in one table.

    Attributes:
        subject: The cell or baseline.
        seeds: Its seeds, sorted.
        metrics: Metric name -> summary over the seeds that have the metric, in the order of the seeds.
        metric_seeds: Metric name -> the seeds that have the metric.
        rank: Range of ranks by the primary metric; None with too few seeds.
        cost: Parameters, operations and time.
        runs: Its records, in the order of the seeds.
        against: Difference from the table's control on this test set; None for the control and without a rank.
        against_new: The same on new test sets; None if the items are not known.
        by_item: (items,) contributions to the primary metric, averaged over seeds; empty if not known.
        is_control: Whether it is the control, with which the others are compared.
        identity: Key of the subject in `TableStanding.entries`.
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
class Confirmation:
    """Runs of the best cell on new seeds, which did not take part in its selection.

    Attributes:
        subject: The cell.
        seeds: The new seeds, sorted.
        summary: Summary of the primary metric over these seeds.
    """

    subject: BoardSubject
    seeds: tuple[int, ...]
    summary: Summary


@dataclass(frozen=True)
class TuningCurve:
    """The tuning curve of one subject.

    Attributes:
        subject: The subject.
        expected: Expected best dev score of 1, 2, ... configurations.
        without: Number of trials that failed or have no value; they count as the worst value of the table.
    """

    subject: BoardSubject
    expected: tuple[float, ...]
    without: int


@dataclass(frozen=True)
class Tuning:
    """How the cells of a table were tuned.

    Attributes:
        trials: Number of configurations of each cell.
        drawn: Names of the settings that were tuned.
        title: Title of the metric on dev.
        digits: Digits of that metric.
        higher_is_better: Direction of that metric.
        curves: The tuning curves of all subjects with records of trials, by name.
    """

    trials: int
    drawn: tuple[str, ...]
    title: str
    digits: int
    higher_is_better: bool
    curves: tuple[TuningCurve, ...]


@dataclass(frozen=True)
class TaskTable:
    """All results on one task with equal settings.

    Attributes:
        task: Task name.
        revision: Task revision.
        title: Title of the task, with its name if another task has the same title.
        variant: `A`, `B`, ... if the task has several tables, else empty.
        unlike: Setting -> value, for the settings in which the tables of the task differ.
        settings: All settings that the records have in common.
        columns: The metrics; the first is the primary one.
        rows: By rank, tied ones by name; then those without a rank, by name.
        absent: Cells of the board without a result in this table; empty if the table has no cells.
        standing: The comparisons of the rows by the primary metric.
        reported: Published results of the task, best first.
        confirmed: Runs of the best cell on new seeds, which are not part of any row.
        tuning: How its cells were tuned; None if they were not.
        failed: Runs that failed.
        superseded_by: The latest revision of the task on the board, if it is not the one of this table.
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
    confirmed: tuple[Confirmation, ...] = ()
    tuning: Tuning | None = None
    failed: tuple[FailedRun, ...] = ()
    superseded_by: int | None = None

    @property
    def primary(self) -> MetricColumn:
        """The metric by which rows are ranked."""
        return self.columns[0]

    @property
    def has_cells(self) -> bool:
        """Whether it has rows of cells; tables of search methods, for example, have only baselines."""
        return any(not row.subject.is_baseline for row in self.rows)

    @property
    def held(self) -> HeldEqual | None:
        """The quantity held equal for all cells, from one of the runs; None if there is none."""
        return next((run.held for row in self.rows for run in row.runs if run.held is not None), None)

    @property
    def protocol(self) -> str:
        """How cells were made comparable, such as `equal parameters, tuned`."""
        parts = [PROTOCOLS[self.held.quantity] if self.held else "task's own widths"]
        return ", ".join([*parts, "tuned"] if self.tuning else parts)

    @property
    def leaders(self) -> frozenset[BoardSubject]:
        """Subjects that may be the best; empty if no two entries differ significantly."""
        ranked = [row for row in self.rows if row.rank]
        first = frozenset(row.subject for row in ranked if row.rank and row.rank.first == 1)
        return first if len(first) < len(ranked) else frozenset()

    def row(self, subject: BoardSubject) -> Row | None:
        """The row of `subject`; None if there is none."""
        return next((row for row in self.rows if row.subject == subject), None)


@dataclass(frozen=True)
class Average:
    """The average of one subject.

    Attributes:
        subject: The subject.
        seeds: Seeds with a result on every task.
        summary: Summary over these seeds of the average of the rescaled scores, in per cent.
        shares: Rescaled score on each task in per cent, in the order of the tables.
        rank: Range of ranks; None with too few seeds.
    """

    subject: BoardSubject
    seeds: tuple[int, ...]
    summary: Summary
    shares: tuple[float, ...]
    rank: RankRange | None


@dataclass(frozen=True)
class Averages:
    """The average over the tasks of a board.

    Attributes:
        tables: The tables of the tasks that are averaged.
        rows: By rank, tied ones by name; then those without a rank.
        lacking: Subject without an average -> tasks without a result of it.
        passed_over: Task -> why it is not in the average.
    """

    tables: tuple[TaskTable, ...]
    rows: tuple[Average, ...]
    lacking: Mapping[BoardSubject, tuple[str, ...]]
    passed_over: Mapping[str, str]


@dataclass(frozen=True)
class Board:
    """Everything on the page.

    Attributes:
        title: The heading.
        tables: By title, revision and settings; tables without cells last.
        subjects: In the order of the first table; baselines last.
        provenance: Where the results come from.
        left_out: Files that were left out, and why.
        averages: Averages over the tasks that have a scale; None if there are none.
    """

    title: str
    tables: tuple[TaskTable, ...]
    subjects: tuple[BoardSubject, ...]
    provenance: Provenance
    left_out: tuple[Fault, ...]
    averages: Averages | None = None

    @property
    def overview(self) -> tuple[TaskTable, ...]:
        """The tables shown in the overview: those with cells, or all if none has cells."""
        return tuple(table for table in self.tables if table.has_cells) or self.tables

"""A board: what every renderer shows, as plain data.

A board has one `TaskTable` for each task and settings, an overview of all subjects over all tables, and
the provenance of the numbers. A subject is a cell, identified by the hash of its graph, or a baseline.
Absent results are None throughout; a renderer shows them as missing, never as 0.
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
"""What is held equal, in words."""


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
class Confirmation:
    """Runs of a cell that was chosen as the best, on seeds that had no part in the choice.

    Attributes:
        subject: The cell.
        seeds: The fresh seeds, sorted.
        summary: Of the primary metric over them.
    """

    subject: BoardSubject
    seeds: tuple[int, ...]
    summary: Summary


@dataclass(frozen=True)
class TuningCurve:
    """One subject's.

    Attributes:
        subject: Whose.
        expected: Of the best of 1, 2, ... configurations, on dev.
        without: Trials that failed or have no value; they count as the worst value of the table.
    """

    subject: BoardSubject
    expected: tuple[float, ...]
    without: int


@dataclass(frozen=True)
class Tuning:
    """How the rows of a table were tuned.

    Attributes:
        trials: Configurations of each cell.
        drawn: The settings that were drawn.
        title: Of the metric on dev.
        digits: Of the metric.
        higher_is_better: Of the metric.
        curves: One a subject whose trials are here, by name.
    """

    trials: int
    drawn: tuple[str, ...]
    title: str
    digits: int
    higher_is_better: bool
    curves: tuple[TuningCurve, ...]


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
        absent: Cells of the board that were not run with these settings; none where no cell was.
        standing: What the comparisons of the primary metric say.
        reported: Published results of the task, best first.
        confirmed: What runs of a chosen cell gave on fresh seeds; they are in no row.
        tuning: How its cells were tuned; None where they have one configuration.
        failed: Runs that left no result here.
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
    confirmed: tuple[Confirmation, ...] = ()
    tuning: Tuning | None = None
    failed: tuple[FailedRun, ...] = ()
    superseded_by: int | None = None

    @property
    def primary(self) -> MetricColumn:
        """The metric that ranks."""
        return self.columns[0]

    @property
    def has_cells(self) -> bool:
        """Whether cells stand in it; in others stand baselines alone, such as methods that search for cells."""
        return any(not row.subject.is_baseline for row in self.rows)

    @property
    def held(self) -> HeldEqual | None:
        """What all cells have equally much of, as one of the runs has it; None where widths are the task's."""
        return next((run.held for row in self.rows for run in row.runs if run.held is not None), None)

    @property
    def protocol(self) -> str:
        """On which terms its cells stand beside one another: `equal parameters, tuned`."""
        parts = [PROTOCOLS[self.held.quantity] if self.held else "task's own widths"]
        return ", ".join([*parts, "tuned"] if self.tuning else parts)

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
class Average:
    """One subject's.

    Attributes:
        subject: Whose.
        seeds: Seeds that it has on every task.
        summary: Of the average share in per cent over those seeds.
        shares: Its share on each task in per cent, in the order of the tables.
        rank: Among those with enough seeds.
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
        tables: The tasks, one table each.
        rows: By rank, tied ones by name; then those without a rank.
        lacking: Subjects without a result on each task, with the tasks that they lack.
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
        tables: By title, revision and settings; those without cells last.
        subjects: In the order of the first table; baselines last.
        provenance: Where the numbers come from.
        left_out: Files that were left out, and why.
        averages: Over the tasks that have a scale; None where there is nothing to average.
    """

    title: str
    tables: tuple[TaskTable, ...]
    subjects: tuple[BoardSubject, ...]
    provenance: Provenance
    left_out: tuple[Fault, ...]
    averages: Averages | None = None

    @property
    def overview(self) -> tuple[TaskTable, ...]:
        """The tables that an overview has columns for: those with cells, or all where none has any."""
        return tuple(table for table in self.tables if table.has_cells) or self.tables

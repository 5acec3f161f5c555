"""What a task is: something a cell is judged on.

A task is an object with a name, a revision, a frozen configuration and one method that turns
(subject, seed) into an `Outcome`. A change that changes numbers changes the revision, so that an old
number never changes its meaning.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias, Union

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from cellzoo.cells.cell import Cell
    from tasks.data.found import FoundData

Json: TypeAlias = Union[bool, int, float, str, "list[Json]", "dict[str, Json]", None]


@dataclass(frozen=True)
class Metric:
    """One number of an outcome.

    Attributes:
        name: Key in records, such as `f1`.
        title: What a reader sees, with the unit, such as `span F1 (%)`.
        higher_is_better: The direction that leaderboards rank by.
        digits: Digits after the point that a table shows.
    """

    name: str
    title: str
    higher_is_better: bool
    digits: int = 2


@dataclass(frozen=True)
class Subject:
    """What is judged: a cell, or one of the task's own baselines (then `cell` is None).

    Attributes:
        name: The cell's catalog name or file stem, or the baseline's name.
        cell: The graph; None for a baseline.
        origin: Where the cell came from: `zoo`, `family`, a file name, or `baseline`.
        notation: The notation that `genotype` is written in; empty for a baseline.
        genotype: The cell as text, so that a record alone can rebuild it.
    """

    name: str
    cell: Cell | None
    origin: str
    notation: str = ""
    genotype: str = ""


@dataclass(frozen=True)
class ParameterCounts:
    """Trainable and frozen parameters, counted without building duplicates of tied weights."""

    cell: int
    total_without_embeddings: int
    total: int


@dataclass(frozen=True)
class Outcome:
    """What a task gives back for one (subject, seed).

    Attributes:
        metrics: Metric name -> value; has every metric the task declares.
        items: One JSON object for each test item (and dev item, told apart by the key `split`), enough
            to recompute every metric on any resample of the items.
        parameters: Parameter counts.
        flops_per_token: Floating-point operations of the cell for one token, forward; 0 for a baseline.
        tokens: Tokens that were trained on, over all epochs.
        seconds: Phase -> wall seconds, such as `{"train": 12.1, "evaluate": 0.8}`.
        history: One JSON object an epoch; keys that hold times start with `seconds`.
    """

    metrics: Mapping[str, float]
    items: Sequence[Mapping[str, Json]]
    parameters: ParameterCounts
    flops_per_token: int
    tokens: int
    seconds: Mapping[str, float]
    history: Sequence[Mapping[str, Json]] = field(default_factory=tuple)


@dataclass(frozen=True)
class Context:
    """What the runner lends to a task for one run.

    Attributes:
        data: The data sets the task asked for, found and verified, by name.
        work: A folder of this run alone. It survives a kill, so checkpoints go here; the runner removes
            it once the record is written.
        artifacts: A folder shared by the runs of one output folder, for what one task leaves to another
            (file names there contain a key, so a stale file is never taken for a fresh one).
        device: A torch device string, never `auto`.
        report: Takes (fraction of the run that is done, a few words); called at least once an epoch.
    """

    data: Mapping[str, FoundData]
    work: Path
    artifacts: Path
    device: str
    report: Callable[[float, str], None]


class Task(Protocol):
    """The interface that the runner sees.

    Attributes:
        name: Registry name, lower case with hyphens.
        revision: Raised by one whenever the same configuration would give other numbers.
        title: What a reader sees.
        metrics: All metrics; the first one is what leaderboards rank by.
        data: Names of the data sets it needs (`tasks.data`).
        baselines: Names of the baselines it brings, run once a seed beside the cells.
        after: Name of a task whose run of the same subject and seed leaves an artifact for this one.
        config: A frozen dataclass of plain values; all of it enters the record's key.
    """

    name: ClassVar[str]
    revision: ClassVar[int]
    title: ClassVar[str]
    metrics: ClassVar[tuple[Metric, ...]]
    data: ClassVar[tuple[str, ...]]
    baselines: ClassVar[tuple[str, ...]]
    after: ClassVar[str | None]
    config: Any

    def run(self, subject: Subject, seed: int, context: Context) -> Outcome:
        """Train and judge `subject`; the same seed gives the same outcome in another process."""
        ...

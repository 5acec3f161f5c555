"""What a task is: something a cell is evaluated on.

A task has a name, a revision, settings, and one method that turns (configuration, subject, seed) into an
`Outcome`. A change that changes numbers raises the revision, so that an old number never changes its meaning.
Most tasks are task files (`tasks.task_file`); a class of its own says what data cannot.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from cellzoo.errors import CellzooError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from cellzoo.cells.cell import Cell
    from tasks.data.found import FoundData
    from tasks.equal_terms import Held
    from tasks.metric import Metric
    from tasks.settings import Json, Settings
    from tasks.tuning.space import Range


@dataclass(frozen=True)
class Subject:
    """What is evaluated: a cell, or something else that a task can run (then `cell` is None).

    Attributes:
        name: The cell's catalog name or file stem, or the name of a baseline or of a search.
        cell: The graph; None for a baseline or a search.
        origin: Where the cell came from: `zoo`, `family`, a file name, `baseline` or `search`.
        notation: The notation that `genotype` is written in; empty without a cell.
        genotype: The cell as text, so that a record alone can rebuild it.
        init: How its weights start where it was published, by the names that the genotype gives.
    """

    name: str
    cell: Cell | None
    origin: str
    notation: str = ""
    genotype: str = ""
    init: Mapping[str, float | str] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """What stands for it in a record's key."""
        return self.cell.hash if self.cell is not None else f"baseline:{self.name}"


@dataclass(frozen=True)
class ParameterCounts:
    """Trainable and frozen parameters, each tied weight counted once."""

    cell: int
    total_without_embeddings: int
    total: int


class Latency(NamedTuple):
    """How long a model takes for one test item alone, by one thread, in milliseconds.

    Attributes:
        median: Half of the items take less.
        most: 95 % of the items take less.
        items: How many were timed.
    """

    median: float
    most: float
    items: int


@dataclass(frozen=True)
class Outcome:
    """What a task gives back for one (configuration, subject, seed).

    Attributes:
        metrics: Metric name -> value; has every metric the task declares. One that is undefined is NaN.
        items: One JSON object for each item of test and dev (told apart by the key `split`), enough to
            recompute every metric on any resample.
        parameters: Parameter counts.
        flops_per_token: Floating-point operations of all recurrent layers and directions for one token,
            forward; 0 for a baseline.
        tokens: Tokens that were trained on, over all epochs.
        seconds: Phase -> wall seconds, such as `{"train": 12.1, "evaluate": 0.8}`.
        history: One JSON object an epoch; keys that hold times start with `seconds`.
        facts: What a reader sees of the data, such as `{"vocabulary": 10000}`.
        held: What was held equal for all cells; None for nothing.
        notes: What a reader must know of the numbers.
        latency: Of single test items, where that was measured.
    """

    metrics: Mapping[str, float]
    items: Sequence[Mapping[str, Json]]
    parameters: ParameterCounts
    flops_per_token: int
    tokens: int
    seconds: Mapping[str, float]
    history: Sequence[Mapping[str, Json]] = ()
    facts: Mapping[str, int] = field(default_factory=dict)
    held: Held | None = None
    notes: tuple[str, ...] = ()
    latency: Latency | None = None


@dataclass(frozen=True)
class Context:
    """What a task is lent for one run.

    Attributes:
        label: What a reader sees, such as `news-lm darts-v2 seed 0`.
        key: The record's key.
        identity: Hash of all that decides the training but the budget, for the checkpoint.
        data: The data sets that the task asked for, found, by name.
        work: A folder that survives a kill, for checkpoint and events. A run that differs by its budget alone
            has the same, so that it goes on where the other ended; it is removed once the record is written,
            unless the job keeps it.
        artifact: The file that this run leaves, if its task leaves one.
        model: The file in which its trained model is kept, or was kept, if the user asks for it.
        left: The file that the run has left which this one comes after.
        cache: A folder that all runs of an output folder share, for what is computed once.
        device: A torch device string, never `auto`.
        report: Takes (fraction of the run that is done, a few words); called at least once an epoch.
    """

    label: str
    key: str
    identity: str
    data: Mapping[str, FoundData]
    work: Path
    artifact: Path | None
    model: Path | None
    left: Path | None
    cache: Path
    device: str
    report: Callable[[float, str], None]


class Task(ABC):
    """Base of all tasks; a class of a plug-in derives from it and is built without arguments.

    Attributes:
        name: Registry name, lower case with hyphens.
        title: What a reader sees.
        revision: Raised by one whenever the same configuration would give other numbers.
        settings: All settings of a run; all of them enter the record's key.
        baselines: Names of the baselines it brings, run once a seed beside the cells.
        after: Name of the task (or path of its file) whose run of the same subject and seed leaves what this
            one reads.
        leaves: How the name of the file ends that a run leaves for others, such as `found.toml`; empty for
            none. See also `keeps`.
        budget: Settings that say how long to train and nothing else: a run goes on from the checkpoint of one
            that differs in them alone and was shorter.
        measures: Setting -> metric, of the settings that change nothing of a run but this metric: a kept model
            can be measured again with others.
        tuning: Setting -> what `--tune` draws; empty for the default space, see `tasks.tuning.space`.
    """

    name: str
    title: str
    revision: int
    settings: type[Settings]
    baselines: tuple[str, ...] = ()
    after: str | None = None
    leaves: str = ""
    budget: frozenset[str] = frozenset()
    measures: Mapping[str, str] = MappingProxyType({})
    tuning: Mapping[str, Range] = MappingProxyType({})

    @abstractmethod
    def data(self, config: Any) -> tuple[str, ...]:
        """Names of the data sets that a configuration needs."""

    @abstractmethod
    def metrics(self, config: Any) -> tuple[Metric, ...]:
        """All metrics; the first one is what leaderboards rank by."""

    def dev_metric(self, config: Any) -> Metric | None:
        """The one of `metrics` that is measured on dev and chooses a configuration; None for none."""
        return None

    @abstractmethod
    def run(self, config: Any, subject: Subject, seed: int, context: Context) -> Outcome:
        """Train and evaluate `subject`; the same seed gives the same outcome in another process."""

    def evaluate(self, config: Any, subject: Subject, context: Context) -> Mapping[str, float]:
        """Measure the model that a run has kept in `context.model`.

        Raises:
            CellzooError: The task cannot do that, or the file does not hold such a model.
        """
        raise CellzooError(f"task {self.name!r}: its models cannot be evaluated again")

    def keeps(self, config: Any) -> str:
        """How the name of the file ends that `--keep-models` writes; empty where there is none."""
        return ""

    def baselines_for(self, config: Any) -> tuple[str, ...]:
        """The baselines that a configuration has."""
        return self.baselines

    def check(self, config: Any, data: Mapping[str, FoundData]) -> None:  # noqa: B027 - most plug-ins read little
        """Read the data and check all of it, before any run starts.

        Raises:
            DataError: A file cannot be read, or is too small or degenerate for this configuration.
        """

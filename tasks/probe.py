"""A probe: what is measured on what another task's run has left, without training anything more."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cellzoo.errors import CellzooError
from tasks.settings import configure, with_defaults
from tasks.task import Outcome, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tasks.data.found import FoundData
    from tasks.metric import Metric
    from tasks.settings import Json, Settings
    from tasks.task import Context, Subject
    from tasks.task_file import TaskFile
    from tasks.vectors import LearnedVectors


@dataclass(frozen=True)
class Probed:
    """What a probe measured.

    Attributes:
        metrics: Name -> value; NaN where undefined.
        items: One JSON object for each item.
        vectors: What was measured: what the run before has left, or what the baseline has learned.
        notes: What a reader must know of the numbers.
    """

    metrics: Mapping[str, float]
    items: Sequence[Mapping[str, Json]]
    vectors: LearnedVectors
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ProbeKind:
    """What a module offers: a kind of probe. The module imports nothing heavy.

    Attributes:
        name: As task files call it.
        summary: One line on what it is.
        settings: Its settings, with defaults; those of its baselines are among them.
        data: Names of the data sets that settings need.
        metrics: What is measured under settings, the first is what leaderboards rank by.
        baselines: Names of what it measures beside cells under settings.
        measure: Called with what the run before has left (None for a baseline, which learns its own vectors),
            subject, seed, settings, data, and a function that takes (fraction done, a few words).
        check: Reads the data and checks it, before any run starts; called with data and settings.
    """

    name: str
    summary: str
    settings: type[Settings]
    data: Callable[[Any], tuple[str, ...]]
    metrics: Callable[[Any], tuple[Metric, ...]]
    baselines: Callable[[Any], tuple[str, ...]]
    measure: Callable[
        [LearnedVectors | None, Subject, int, Any, Mapping[str, FoundData], Callable[[float, str], None]],
        Probed,
    ]
    check: Callable[[Mapping[str, FoundData], Any], None]


class ProbeTask(Task):
    """The task of a task file with a `probe`.

    The times of a record are those of the training that made the vectors, whoever did it.

    Args:
        file: The task file.
        kind: Its kind of probe.
        source: The file, for messages.

    Raises:
        CellzooError: A setting of the file is unknown or wrong.
    """

    def __init__(self, file: TaskFile, kind: ProbeKind, source: str) -> None:
        self.kind = kind
        self.name, self.title, self.revision = file.name, file.title, file.revision
        self.after = file.after
        owner = f"task {file.name!r}"
        self.settings: type[Settings] = with_defaults(
            owner, configure(kind.settings, file.settings, owner, source)
        )

    def data(self, config: Any) -> tuple[str, ...]:
        """See `Task`.

        Raises:
            CellzooError: The corpus is the user's to name, and none is named.
        """
        names = self.kind.data(config)
        if not all(names):
            raise CellzooError(
                f"task {self.name!r}: needs a corpus; name one with --set, such as corpus=text:FILE, "
                f"for {self.after} and for it"
            )
        return names

    def metrics(self, config: Any) -> tuple[Metric, ...]:
        """See `Task`."""
        return self.kind.metrics(config)

    def baselines_for(self, config: Any) -> tuple[str, ...]:
        """See `Task`."""
        return self.kind.baselines(config)

    def check(self, config: Any, data: Mapping[str, FoundData]) -> None:
        """See `Task`."""
        self.kind.check(data, config)

    def run(self, config: Any, subject: Subject, seed: int, context: Context) -> Outcome:
        """See `Task`."""
        from tasks.vectors import read_vectors

        known = self.baselines_for(config)
        if subject.cell is None and subject.name not in known:
            raise CellzooError(
                f"{self.name}: has no baseline {subject.name!r}; it has {', '.join(known) or 'none'}"
            )
        left = None
        if subject.cell is not None:
            if context.left is None:
                raise CellzooError(f"{context.label}: the run of {self.after} that it reads is not known")
            left = read_vectors(context.left)
        started = time.perf_counter()
        probed = self.kind.measure(left, subject, seed, config, context.data, context.report)
        learned = probed.vectors
        seconds = time.perf_counter() - started - (0.0 if left else learned.seconds)
        return Outcome(
            metrics=probed.metrics,
            items=probed.items,
            parameters=learned.parameters,
            flops_per_token=learned.flops_per_token,
            tokens=learned.tokens,
            seconds={"train": learned.seconds, "evaluate": max(0.0, seconds)},
            history=learned.history,
            notes=probed.notes,
        )

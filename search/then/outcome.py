"""What searches are worth: the best by held-out data, and a record for each search."""

from __future__ import annotations

import re
import statistics
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.run.events import read_events
from tasks.runs.record import (
    CellReference,
    Code,
    DataReference,
    Environment,
    ItemsReference,
    MetricValue,
    RunRecord,
    TaskReference,
    Timing,
    content_digest,
    read_record,
    record_key,
)
from tasks.runs.store import record_stem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellzoo.catalog import CellEntry
    from search.objectives.kind import Retraining
    from search.run.configuration import Configuration
    from search.run.directory import RunDirectory
    from search.run.loop import Plan
    from tasks.runs.store import RecordStore

REVISION = 1


@dataclass(frozen=True)
class Candidate:
    """A search and the cell it found.

    Attributes:
        configuration: Of the search.
        entry: The cell.
        records: Its brief retraining, a record a seed; none if that failed.
        directory: Of the search.
    """

    configuration: Configuration
    entry: CellEntry
    records: tuple[RunRecord, ...]
    directory: RunDirectory

    @property
    def seconds(self) -> float:
        """Wall seconds of the search."""
        return float(read_events(self.directory.events)[-1]["seconds"])

    def mean(self, metric: str) -> float:
        """Mean of a metric over the brief retraining."""
        return statistics.fmean(record.metrics[metric].value for record in self.records)


def best_of(candidates: Sequence[Candidate], retraining: Retraining) -> Candidate:
    """The candidate with the best mean on held-out data; of equal ones the first."""
    sign = 1.0 if retraining.lower_is_better else -1.0
    return min(
        (candidate for candidate in candidates if candidate.records),
        key=lambda candidate: sign * candidate.mean(retraining.metric),
    )


def search_records(
    candidates: Sequence[Candidate],
    best: Candidate,
    full: Sequence[RunRecord],
    retraining: Retraining,
    plan: Plan,
    seeds: Sequence[int],
    store: RecordStore,
) -> list[RunRecord]:
    """Write a record for each search; those that are there already are left as they are.

    The task is the search with all that follows; what it judges is the method, as a baseline, so that a board
    has one row a method with the mean over its searches. The row of the best cell's full retraining stands in
    that same row, in a column of its own: the record of the search that found it has it, as the mean over its
    seeds.

    Args:
        candidates: The searches that found a cell.
        best: One of them.
        full: The records of its full retraining.
        retraining: Which metric is which.
        plan: Of one of the searches.
        seeds: Of all searches that were asked for.
        store: Where the records go.

    Returns:
        The records.
    """
    shared = {"searches": list(seeds), **_settings(candidates, full, retraining)}
    written = []
    for candidate in candidates:
        if not candidate.records:
            continue
        configuration = candidate.configuration
        task, name = f"search-{retraining.task}", method_name(configuration)
        key = record_key(
            task=task,
            revision=REVISION,
            subject=f"baseline:{name}",
            configuration=shared,
            data={configuration.data: configuration.sha256},
            seed=configuration.seed,
        )
        stem = record_stem(task, name, configuration.seed, key)
        path = store.folder / f"{stem}.json"
        if path.exists():
            written.append(read_record(path))
            continue
        items = store.write_items(stem, _items(candidate, retraining))
        metrics = _metrics(candidate, full if candidate is best else (), len(seeds), retraining)
        record = _record(candidate, key, task, shared, metrics, items, plan)
        store.write_record(stem, record)
        written.append(record)
    return written


def method_name(configuration: Configuration) -> str:
    """Name a method with all its settings: method, preset, and the first digits of what stands for them."""
    digits = content_digest(configuration.search_settings)[:8]
    preset = re.sub(r"[^a-z0-9]+", "-", Path(configuration.preset.partition(",")[0]).stem.lower())[:20]
    return f"search-{configuration.method}-{preset}-{digits}"


def _settings(
    candidates: Sequence[Candidate], full: Sequence[RunRecord], retraining: Retraining
) -> dict[str, Any]:
    """What the searches of a table have in common: how their cells are judged."""
    brief = next(candidate.records[0] for candidate in candidates if candidate.records)
    return {
        "retraining": retraining.task,
        "brief": dict(brief.configuration),
        "brief_seeds": [record.seed for record in next(c.records for c in candidates if c.records)],
        "full": dict(full[0].configuration) if full else {},
        "full_seeds": [record.seed for record in full],
    }


def _record(
    candidate: Candidate,
    key: str,
    task: str,
    settings: dict[str, Any],
    metrics: dict[str, MetricValue],
    items: ItemsReference,
    plan: Plan,
) -> RunRecord:
    configuration, first = candidate.configuration, candidate.records[0]
    events = read_events(candidate.directory.events)
    training = sum(record.timing.seconds.get("train", 0.0) for record in candidate.records)
    seconds = candidate.seconds
    return RunRecord(
        schema_version=1,
        key=key,
        task=TaskReference(
            name=task, revision=REVISION, title=f"Search on {configuration.data}, its cells retrained"
        ),
        cell=CellReference(
            name=method_name(configuration),
            kind="baseline",
            hash=None,
            origin="search",
            notation="",
            genotype="",
        ),
        seed=configuration.seed,
        configuration=settings,
        data={
            configuration.data: DataReference(
                origin=first.data[configuration.data].origin, sha256=dict(configuration.sha256)
            )
        },
        metrics=metrics,
        primary=next(iter(metrics)),
        items=items,
        parameters=first.parameters,
        flops_per_token=first.flops_per_token,
        tokens=first.tokens,
        timing=Timing(
            seconds={"search": seconds, "retrain": training},
            total_seconds=seconds + training,
            tokens_per_second=0.0,
        ),
        history=[_short(event) for event in events if event["event"] == "epoch"],
        code=Code(**plan.surroundings.code),
        environment=Environment(**plan.surroundings.environment),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _metrics(
    candidate: Candidate,
    full: Sequence[RunRecord],
    searches: int,
    retraining: Retraining,
) -> dict[str, MetricValue]:
    """Metrics of a record, the one that ranks first."""
    better = not retraining.lower_is_better
    dev, test = (candidate.records[0].metrics[name] for name in (retraining.metric, retraining.test_metric))
    values = {
        retraining.metric: (
            candidate.mean(retraining.metric),
            f"{dev.title}, a search's cell, brief",
            better,
            2,
        ),
        retraining.test_metric: (
            candidate.mean(retraining.test_metric),
            f"{test.title}, a search's cell, brief",
            better,
            2,
        ),
    }
    if full:
        best = statistics.fmean(record.metrics[retraining.test_metric].value for record in full)
        title = f"{test.title}, best of {searches} by dev, full, mean of {len(full)} seeds"
        values[f"best_{retraining.test_metric}"] = (best, title, better, 2)
    values["seconds_search"] = (candidate.seconds, "search (s)", False, 0)
    return {
        name: MetricValue(value=value, title=title, higher_is_better=higher, digits=digits)
        for name, (value, title, higher, digits) in values.items()
    }


def _items(candidate: Candidate, retraining: Retraining) -> list[dict[str, Any]]:
    return [
        {
            "split": "brief",
            "seed": record.seed,
            "record": record.key,
            "cell": candidate.entry.name,
            "genotype": candidate.entry.genotype,
            "dev": record.metrics[retraining.metric].value,
            "test": record.metrics[retraining.test_metric].value,
        }
        for record in candidate.records
    ]


def _short(event: dict[str, Any]) -> dict[str, Any]:
    kept = ("epoch", "train_loss", "validation", "entropy", "deviation", "seconds")
    return {**{key: event[key] for key in kept if key in event}, "cell": event["cell"]["hash"]}

"""The quality of a search method: a record for each search whose cell was trained.

The task of these records is the search together with the training of its cell, so a leaderboard has one row for
each method, with the mean over its searches. The full training of the best cell is an additional metric in the
record of the search that found it, as the mean over its seeds.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from search.run.chain import mean_of
from search.run.cost import search_cost
from search.run.settings import SECONDS
from tasks.runs.record import CellReference, MetricValue, RunRecord, TaskReference, Timing
from tasks.runs.record_key import record_key
from tasks.runs.store import RecordStore, record_stem

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from search.run.chain import Chain, Found

REVISION = 2


def write_worth(chain: Chain, out: Path) -> list[RunRecord]:
    """Write a record for each search; existing records are not changed.

    Args:
        chain: Has all results, including those of the full training.
        out: The output folder.

    Raises:
        OutputError: A record cannot be written.
    """
    store = RecordStore(out)
    store.prepare()
    best, full = chain.best(), chain.full()
    found = [one for one in chain.found() if one.brief]
    if best is None:
        return []
    plan = chain.plan
    task = f"search-{plan.config.task}"
    shared: dict[str, Any] = {
        "searches": list(chain.searches),
        "task": plan.config.task,
        "brief": dict(found[0].brief[0].configuration),
        "brief_seeds": [record.seed for record in found[0].brief],
        "full": dict(full[0].configuration),
        "full_seeds": [record.seed for record in full],
    }
    name = f"search-{plan.subject.name}"
    written = []
    for one in found:
        key = record_key(
            task=task,
            revision=REVISION,
            subject=f"baseline:{name}",
            configuration=shared,
            data={data: reference.sha256 for data, reference in one.record.data.items()},
            seed=one.seed,
        )
        stem = record_stem(task, name, one.seed, key)
        record = store.find(stem, key)
        if record is None:
            record = RunRecord(
                **one.record.model_dump(
                    include={"schema_version", "seed", "data", "code", "environment", "notes"}
                ),
                key=key,
                task=TaskReference(
                    name=task, revision=REVISION, title=f"Search on {plan.config.task}, its cells trained"
                ),
                cell=CellReference(
                    name=name, kind="baseline", hash=None, origin="search", notation="", genotype=""
                ),
                configuration=shared,
                metrics=_metrics(chain, one, full if one.seed == best.seed else ()),
                primary=chain.dev,
                items=store.write_items(stem, _items(chain, one)),
                parameters=one.brief[0].parameters,
                flops_per_token=one.brief[0].flops_per_token,
                tokens=one.brief[0].tokens,
                timing=_timing(one),
                history=[
                    {name: value for name, value in e.items() if name != "cell"} for e in one.record.history
                ],
                created=datetime.now(UTC).isoformat(timespec="seconds"),
            )
            store.write_record(stem, record)
        written.append(record)
    return written


def _metrics(chain: Chain, one: Found, full: Sequence[RunRecord]) -> dict[str, MetricValue]:
    """Metrics of a record; the first one ranks the methods."""
    values = {}
    for name in (chain.dev, chain.metric.name):
        shown = one.brief[0].metrics[name]
        title = f"{shown.title}, a search's cell, brief"
        values[name] = shown.model_copy(update={"value": one.mean(name), "title": title})
    tested = [record.metrics[chain.metric.name] for record in full]
    if tested:
        mean = mean_of(chain.metric.name, full)
        title = f"{tested[0].title}, best of {len(chain.searches)} by dev, full, mean of {len(tested)} seeds"
        values[f"best_{chain.metric.name}"] = tested[0].model_copy(update={"value": mean, "title": title})
    values[SECONDS] = one.record.metrics[SECONDS]
    return values | search_cost(one.record, chain.trained(one.seed))


def _items(chain: Chain, one: Found) -> list[dict[str, Any]]:
    return [
        {
            "split": "brief",
            "seed": record.seed,
            "record": record.key,
            "cell": one.subject.name,
            "genotype": one.cell.genotype,
            **{
                name: record.metrics[name].value
                for name in (chain.dev, chain.metric.name)
                if name in record.metrics
            },
        }
        for record in one.brief
    ]


def _timing(one: Found) -> Timing:
    search = mean_of(SECONDS, [one.record]) or 0.0
    training = sum(record.timing.seconds.get("train", 0.0) for record in one.brief)
    return Timing(
        seconds={"search": search, "brief": training}, total_seconds=search + training, tokens_per_second=0.0
    )

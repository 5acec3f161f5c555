"""Search in the table: from the command's arguments to the best cell of all seeds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cellzoo.errors import CellzooError, OutputError, RunError
from search.benchmark.compare import SETTINGS
from search.benchmark.table import Table
from search.benchmark.task import DATA, DEV, ROLE, SOURCE, TableSettings, TableTask, write_cell
from search.registry import find_method
from search.run.found import FOUND, found_name
from search.run.presets import distribute
from search.run.task import cell_of
from search.samplers.kind import SamplerKind
from search.samplers.settings import SamplerSettings
from tasks.data.catalog import DataSet
from tasks.data.found import FoundData
from tasks.data.parts import Part
from tasks.runs.events import describe_failure
from tasks.runs.job import make_job
from tasks.runs.lock import locked
from tasks.runs.record_key import content_digest
from tasks.runs.run import run_jobs
from tasks.settings import configure, plain
from tasks.task import Subject

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tasks.runs.events import Failure, Listener
    from tasks.runs.job import Job
    from tasks.runs.record import RunRecord
    from tasks.runs.run import ExecutorSettings

SUFFIX = ".npz"
_WHOLE = {"trials": 100_000, "epochs": 50}
"""Settings of every sampler here: the hours end the search, and a complete training has 50 epochs."""
_OF_THE_SPACE = set(SamplerSettings.model_fields) - set(_WHOLE)
"""Settings of a sampler that describe its space; here the space is the table."""


@dataclass(frozen=True)
class TableSearch:
    """A search that is ready to run with any seed.

    Attributes:
        config: How the table is searched.
        data: The table.
    """

    config: TableSettings
    data: FoundData

    def job(self, seed: int) -> Job:
        """The search with one seed, in a work folder of its own that is kept."""
        subject = Subject(f"{self.config.method}-{content_digest(plain(self.config))[:8]}", None, "search")
        job = make_job(TableTask(), SOURCE, self.config, subject, seed, {DATA: self.data}, keep_work=True)
        return replace(job, work=f"searches/{found_name(self.config.method, DATA, seed, job.key)}")


@dataclass(frozen=True)
class TableReport:
    """The results of a command.

    Attributes:
        path: The cell file of the best search by validation loss.
        best: The record of that search.
        records: Of all searches, in the order of the seeds.
        failures: The searches that did not finish.
    """

    path: Path
    best: RunRecord
    records: tuple[RunRecord, ...]
    failures: tuple[Failure, ...]

    def lines(self) -> Iterator[str]:
        """The results as text."""
        for record in self.records:
            values = ", ".join(f"{one.title} {one.value:.{one.digits}f}" for one in record.metrics.values())
            trainings = record.facts["search trainings"]
            yield f"seed {record.seed}: {values}; {trainings} trainings; {record.notes[0]}"
        yield from (f"failed: {describe_failure(failure)}" for failure in self.failures)
        yield f"cell file: {self.path}"


def request_table_search(method: str, table: Path, changes: Mapping[str, Any] | None = None) -> TableSearch:
    """Configure a search in a table; writes nothing.

    Args:
        method: Name of the sampler.
        table: File of the table.
        changes: Settings of the sampler or of `TableSettings` that replace the defaults.

    Raises:
        CellzooError: There is no such sampler, a setting is wrong, or it cannot search a table.
        DataError: The table does not exist, or cannot be read.
    """
    kind = find_method(method)
    if not isinstance(kind, SamplerKind):
        raise CellzooError(f"{method} trains a supernet; a table can only be searched by a sampler")
    names = {
        "method": set(kind.settings.model_fields) - _OF_THE_SPACE,
        "task": set(TableSettings.model_fields) - {"method", "method_settings"},
    }
    asked = distribute(changes or {}, names, f"Sampler {kind.name!r} in a table")
    own = {**_WHOLE, **dict(SETTINGS.get(kind.name, ()))}
    chosen = plain(configure(kind.settings, {**own, **asked["method"]}, f"method {kind.name!r}", "--set"))
    config = configure(
        TableSettings,
        {
            "method": method,
            "method_settings": {name: chosen[name] for name in chosen if name in names["method"]},
            **asked["task"],
        },
        "a search in a table",
        "--set",
    )
    data_set = DataSet(name=DATA, title="NAS-Bench-NLP as one file", format=ROLE, files={ROLE: (table.name,)})
    found = FoundData(DATA, "a table", {ROLE: Part(table)}, {ROLE: Table.read(table).digest}, data_set)
    search = TableSearch(config, found)
    TableTask().check(config, {DATA: found})
    return search


def search_table(
    search: TableSearch,
    seeds: Sequence[int],
    out: Path,
    execution: ExecutorSettings,
    listener: Listener | None = None,
) -> TableReport:
    """Search with each seed; write records, histories, and the best cell as `out / found.toml`.

    The best cell is that of the smallest validation loss. Searches that have a record are not repeated.

    Raises:
        RunError: No search found a cell.
        OutputError: The folder cannot be written or is in use.
        KeyboardInterrupt: The user stopped it; the same call continues it.
    """
    execution.check()
    jobs = [search.job(seed) for seed in dict.fromkeys(seeds)]
    with locked(out):
        queue = run_jobs(jobs, out, execution, listener, grow=lambda job, result: ())
        for failure in queue.failures:
            if failure.stops_all:
                raise OutputError(failure.message)
        done = [(job, queue.records[job.key]) for job in jobs if job.key in queue.records]
        if not done:
            raise RunError(f"{out}: no search found a cell:\n  {describe_failure(queue.failures[0])}")
        job, best = min(done, key=lambda pair: pair[1].value(DEV.name))
        ending = f"-best-of-{len(jobs)}" if len(jobs) > 1 else ""
        digest = search.data.sha256[ROLE]
        write_cell(out / FOUND, cell_of(best, out), search.config, digest, job.seed, job.key, ending)
    return TableReport(out / FOUND, best, tuple(record for _, record in done), tuple(queue.failures))

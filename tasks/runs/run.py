"""Run a suite: the function that the command, the demo and users call."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from cellzoo.errors import CellzooError, OutputError, RunError
from tasks.runs.device import resolve_device
from tasks.runs.environment import describe_code, describe_environment
from tasks.runs.events import Silent, describe_failure
from tasks.runs.execute import WORK, Workshop
from tasks.runs.executors.worker import WORKER_VARIABLE
from tasks.runs.ledger import Ledger
from tasks.runs.lock import locked
from tasks.runs.plan import make_plan
from tasks.runs.store import RecordStore
from tasks.suites.suite import Suite, find_suite

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tasks.runs.events import Failure, Listener
    from tasks.runs.plan import Job, Plan
    from tasks.runs.record import RunRecord
    from tasks.runs.store import Survey

Engine: TypeAlias = Literal["serial", "processes"]
ENGINES: tuple[Engine, ...] = ("serial", "processes")
MAX_SEEDS = 10_000
"""The most seeds that are counted from 0; more than that is a slip, such as a seed in place of their number."""


@dataclass(frozen=True)
class Report:
    """What came of a command.

    Attributes:
        out: The output folder; `out / "records"` holds the records.
        records: The records of the plan, made now or there before, in plan order.
        made: How many of them were made now.
        failures: The runs that did not finish.
        notes: What the user should know, such as files in the record folder that are no records.
        seconds: Wall time.
    """

    out: Path
    records: tuple[RunRecord, ...]
    made: int
    failures: tuple[Failure, ...]
    notes: tuple[str, ...]
    seconds: float

    def raise_for_failures(self) -> None:
        """Do nothing if all runs are done.

        Raises:
            OutputError: The output folder could not be written.
            RunError: Other runs failed; the message lists them.
        """
        for failure in self.failures:
            if failure.stops_all:
                raise OutputError(failure.message)
        if self.failures:
            lines = [f"{len(self.failures)} of {len(self.failures) + len(self.records)} runs failed:"]
            lines += [f"  {describe_failure(failure)}" for failure in self.failures]
            raise RunError("\n".join(lines))


def run_suite(
    suite: str | Path | Suite,
    cells: Iterable[str | Path],
    seeds: int | Sequence[int] = 1,
    *,
    out: str | Path = "results",
    data: str | Path | None = None,
    engine: Engine = "processes",
    workers: int | None = None,
    threads: int = 1,
    device: str = "auto",
    settings: Mapping[str, Any] | None = None,
    listener: Listener | None = None,
) -> Report:
    """Run every task of a suite for every cell and seed, and for the tasks' baselines; keep the records.

    What is there already is not run again. A run that was killed goes on from its last checkpoint. A run that
    fails does not stop the others; it is in the report.

    Args:
        suite: Name of a suite or task, path of a suite file (`.toml`), `module:Class`, or a `Suite`.
        cells: Names, globs over names, or paths of cell files.
        seeds: The seeds, or how many (5 means 0 to 4).
        out: Output folder; only one call at a time may use it.
        data: Folder with the original files of data sets.
        engine: `processes` runs several at a time; `serial` one after another in this process.
        workers: Runs at a time; by default one a processor, or one in all on a GPU.
        threads: Threads of each run. Another number can change the last digits of results.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        settings: Changed settings: `{"epochs": 2}` for every task that has it, `{"news-lm.epochs": 2}` for one.
        listener: Is told what happens; by default nobody is.

    Raises:
        CellzooError: Something about the request is wrong; nothing was run.
        KeyboardInterrupt: The user stopped it; the same call goes on where it stopped.

    With the engine `processes`, a script must call this under `if __name__ == "__main__":`, since worker
    processes import the script.
    """
    _check_request(engine, workers, threads, device)
    begin = time.perf_counter()
    listener = listener or Silent()
    out = Path(out).expanduser()
    plan = request_plan(suite, cells, seeds, data=data, settings=settings)
    with locked(out):
        store = RecordStore(out)
        survey = survey_plan(plan, store)
        jobs = [job for job in plan.jobs if job.key not in survey.records]
        store.prepare()
        _clear_finished_work(out, survey)
        ledger = Ledger(jobs, listener)
        if jobs:
            _run(jobs, ledger, len(survey.records), out, engine, workers, threads, device, listener)
    records = {**survey.records, **ledger.records}
    return Report(
        out=out,
        records=tuple(records[job.key] for job in plan.jobs if job.key in records),
        made=len(ledger.records),
        failures=tuple(ledger.failures),
        notes=(*plan.notes, *survey.strangers),
        seconds=time.perf_counter() - begin,
    )


def request_plan(
    suite: str | Path | Suite,
    cells: Iterable[str | Path],
    seeds: int | Sequence[int],
    *,
    data: str | Path | None,
    settings: Mapping[str, Any] | None,
) -> Plan:
    """Work out what `run_suite` would run; writes nothing. Arguments and errors as there."""
    if isinstance(seeds, int) and not 1 <= seeds <= MAX_SEEDS:
        raise CellzooError(
            f"{seeds} seeds: expected at least 1 and at most {MAX_SEEDS}; one seed alone is written {seeds},"
        )
    return make_plan(
        suite if isinstance(suite, Suite) else find_suite(str(suite)),
        cells,
        range(seeds) if isinstance(seeds, int) else seeds,
        data_dir=None if data is None else Path(data).expanduser(),
        settings=settings,
    )


def survey_plan(plan: Plan, store: RecordStore) -> Survey:
    """Find which runs of the plan are there; errors as `RecordStore.survey`."""
    return store.survey({job.key: job.stem for job in plan.jobs})


def _check_request(engine: str, workers: int | None, threads: int, device: str) -> None:
    if engine not in ENGINES:
        raise CellzooError(f"engine {engine!r}: expected {' or '.join(ENGINES)}")
    for name, value in (("workers", workers), ("threads", threads)):
        if value is not None and value < 1:
            raise CellzooError(f"{name} = {value}: expected at least 1")
    # `auto` and `cpu` cannot be wrong, and looking for a device imports torch.
    if device not in ("auto", "cpu"):
        resolve_device(device)
    if os.environ.get(WORKER_VARIABLE):
        raise CellzooError(
            "run_suite was called while a worker process imported your script; "
            'put the call under: if __name__ == "__main__":'
        )


def _run(
    jobs: list[Job],
    ledger: Ledger,
    present: int,
    out: Path,
    engine: Engine,
    workers: int | None,
    threads: int,
    device: str,
    listener: Listener,
) -> None:
    found = resolve_device(device)
    workshop = Workshop(out.resolve(), found, describe_code(), describe_environment(found, threads))
    count = 1 if engine == "serial" else _workers(workers, len(jobs), found)
    listener.begin(jobs, present, count)
    stopped = True
    try:
        if engine == "serial":
            from tasks.runs.executors.serial import run_serially

            run_serially(ledger, workshop, listener)
        else:
            from tasks.runs.executors.processes import run_in_processes

            run_in_processes(ledger, workshop, listener, count)
        stopped = False
    finally:
        listener.end(stopped)


def _workers(wanted: int | None, jobs: int, device: str) -> int:
    if wanted is None and device.startswith("cuda"):
        return 1
    return min(wanted or os.cpu_count() or 1, jobs)


def _clear_finished_work(out: Path, survey: Survey) -> None:
    """Remove what a kill between the writing of a record and the end of its run left."""
    for key in survey.records:
        shutil.rmtree(out / WORK / key, ignore_errors=True)

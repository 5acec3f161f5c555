"""Run a suite: the function that the command, the demo and users call."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from cellzoo.errors import CellzooError, OutputError, RunError
from cellzoo.system.paths import typed_path
from tasks.runs.budget import with_budget
from tasks.runs.confirm import confirmation_jobs
from tasks.runs.device import resolve_device
from tasks.runs.environment import describe_code, describe_environment
from tasks.runs.events import Silent, describe_failure
from tasks.runs.execute import ARTIFACTS, RunSetup, clear_work
from tasks.runs.executors.worker import LONGEST_SILENCE, WORKER_VARIABLE
from tasks.runs.failed import FailureStore
from tasks.runs.lock import locked
from tasks.runs.plan import make_plan
from tasks.runs.queue import JobQueue
from tasks.runs.store import RecordStore
from tasks.runs.tune import plan_trials, tuned_plan
from tasks.suites.average import describe_average
from tasks.suites.suite import Suite, find_suite

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from tasks.runs.events import Failure, Listener
    from tasks.runs.job import Job
    from tasks.runs.plan import RunPlan
    from tasks.runs.queue import Grow
    from tasks.runs.record import RunRecord
    from tasks.runs.store import Survey

Executor: TypeAlias = Literal["serial", "processes", "ray"]
EXECUTORS: tuple[Executor, ...] = ("serial", "processes", "ray")
MAX_SEEDS = 10_000
"""The most seeds that are counted from 0; more than that is a slip, such as a seed in place of their number."""


@dataclass(frozen=True)
class ExecutorSettings:
    """Who does the runs of a command.

    Attributes:
        executor: `processes` runs several at a time; `serial` one after another in this process; `ray` on the
            machines of a Ray cluster.
        workers: Runs at a time; None for one a processor, or one in all on a GPU.
        threads: Threads of each run. Another number can change the last digits of results.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        longest_silence: Seconds after which a worker process that has said nothing of its run is taken to hang;
            it is ended, and its run fails. With `serial` there is nobody who could notice.
        address: Of a running Ray cluster, HOST:PORT or `auto`; empty for one of this machine alone, which is
            started and stopped.
    """

    executor: Executor = "processes"
    workers: int | None = None
    threads: int = 1
    device: str = "auto"
    longest_silence: float = LONGEST_SILENCE
    address: str = ""

    def check(self) -> None:
        """Check what can be checked without loading torch.

        Raises:
            CellzooError: A value is wrong, or a worker process has come here by importing the user's script.
        """
        if self.executor not in EXECUTORS:
            raise CellzooError(f"executor {self.executor!r}: expected {' or '.join(EXECUTORS)}")
        for name, value in (("workers", self.workers), ("threads", self.threads)):
            if value is not None and value < 1:
                raise CellzooError(f"{name} = {value}: expected at least 1")
        if self.address and self.executor != "ray":
            raise CellzooError(f"address {self.address!r} is that of a Ray cluster: it needs executor 'ray'")
        if not 0 < self.longest_silence < math.inf:
            raise CellzooError(f"longest_silence = {self.longest_silence}: expected seconds above 0")
        # `auto` and `cpu` cannot be wrong, and looking for a device imports torch.
        if self.device not in ("auto", "cpu"):
            resolve_device(self.device)
        if os.environ.get(WORKER_VARIABLE):
            raise CellzooError(
                "run_suite was called while a worker process imported your script; "
                'put the call under: if __name__ == "__main__":'
            )

    def size(self, device: str) -> int:
        """Runs at a time on a device."""
        if self.executor == "serial" or (self.workers is None and device.startswith("cuda")):
            return 1
        return self.workers or os.cpu_count() or 1


@dataclass(frozen=True)
class RunReport:
    """What came of a command.

    Attributes:
        out: The output folder; `out / "records"` holds the records.
        records: The records of the plan, made now or there before, in plan order.
        made: How many of them were made now.
        failures: The runs that did not finish.
        notes: What the user should know, such as files in the record folder that are not records.
        seconds: Wall time.
        averages: Lines that say the mean over the tasks of a suite that has one, or why there is none.
    """

    out: Path
    records: tuple[RunRecord, ...]
    made: int
    failures: tuple[Failure, ...]
    notes: tuple[str, ...]
    seconds: float = 0.0
    averages: tuple[str, ...] = ()

    def followed_by(self, other: RunReport) -> RunReport:
        """What came of both together."""
        return replace(
            self,
            records=self.records + other.records,
            made=self.made + other.made,
            failures=self.failures + other.failures,
            averages=self.averages + other.averages,
            notes=tuple(dict.fromkeys(self.notes + other.notes)),
        )

    def raise_if_stopped(self) -> None:
        """Do nothing if every run could at least be tried.

        Raises:
            OutputError: The output folder could not be written.
        """
        for failure in self.failures:
            if failure.stops_all:
                raise OutputError(failure.message)

    def with_notes(self, notes: Iterable[str]) -> RunReport:
        """The same with further notes."""
        return replace(self, notes=(*self.notes, *notes))

    def raise_for_failures(self) -> None:
        """Do nothing if all runs are done.

        Raises:
            OutputError: The output folder could not be written.
            RunError: Other runs failed; the message lists them.
        """
        self.raise_if_stopped()
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
    executor: Executor = "processes",
    workers: int | None = None,
    threads: int = 1,
    device: str = "auto",
    longest_silence: float = LONGEST_SILENCE,
    address: str = "",
    settings: Mapping[str, Any] | None = None,
    budget: str | None = None,
    tune: int = 0,
    confirm: int = 0,
    preset: str | None = None,
    keep_models: bool = False,
    listener: Listener | None = None,
) -> RunReport:
    """Run every task of a suite for every cell and seed, and for the tasks' baselines; keep the records.

    What is there already is not run again. A run that was killed goes on from its last checkpoint. A run that
    fails does not stop the others; it is in the report. Before the first run starts, all data is read and
    checked.

    Args:
        suite: Name of a suite or task, path of a suite or task file (`.toml`), `module:Class`, or a `Suite`.
        cells: Names, globs over names, or paths of cell files.
        seeds: The seeds, or how many (5 means 0 to 4).
        out: Output folder; only one call at a time may use it.
        data: Folder with the original files of data sets.
        executor: See `ExecutorSettings`, as the next five.
        workers: See there.
        threads: See there.
        device: See there.
        longest_silence: See there.
        address: See there.
        settings: Changed settings: `{"epochs": 2}` for every task that has it, `{"news-lm.epochs": 2}` for one.
        budget: The most that a run may train: seconds (`600s`) or epochs (`20epochs`).
        tune: Random configurations that each cell is tried with on dev before its best one is run on the seeds;
            the same for all cells. 0 runs the task's own.
        confirm: Fresh seeds on which the best cell of each task is run again when all others are done.
        preset: Name of a preset (`fenas-paper`), or the path of a preset file (`.toml`); settings go over it.
        keep_models: Whether each run of a cell leaves its trained model below OUT/artifacts, where its task can
            write one.
        listener: Is told what happens; by default nobody is.

    Raises:
        CellzooError: Something about the request is wrong; nothing was run.
        KeyboardInterrupt: The user stopped it; the same call goes on where it stopped.

    With the executor `processes`, a script must call this under `if __name__ == "__main__":`, since worker
    processes import the script.
    """
    execution = ExecutorSettings(executor, workers, threads, device, longest_silence, address)
    execution.check()
    begin = time.perf_counter()
    folder = typed_path(str(out), "--out")
    found = suite if isinstance(suite, Suite) else find_suite(str(suite))
    plan = request_plan(
        found,
        cells,
        seeds,
        data=data,
        settings=settings,
        budget=budget,
        preset=preset,
        keep_models=keep_models,
    )
    with locked(folder):
        tuning = None
        if tune:
            trials = plan_trials(plan, tune)
            tuning = _complete(replace(plan, jobs=trials.jobs, notes=()), folder, execution, listener)
            tuning.raise_if_stopped()
            records = {record.key: record for record in tuning.records}
            plan = tuned_plan(plan, trials, records, tuning.failures)
            tuning = replace(tuning, failures=())
        report = _complete(plan, folder, execution, listener)
        report = replace(report, averages=tuple(describe_average(found, report.records, plan.skipped)))
        if confirm and not report.failures:
            jobs, notes = confirmation_jobs(plan, {record.key: record for record in report.records}, confirm)
            confirmed = _complete(replace(plan, jobs=tuple(jobs), notes=notes), folder, execution, listener)
            report = report.followed_by(confirmed)
        elif confirm:
            report = replace(report, notes=(*report.notes, "nothing is confirmed, as not all runs are done"))
        report = tuning.followed_by(report) if tuning else report
    return replace(report, seconds=time.perf_counter() - begin)


def _complete(plan: RunPlan, folder: Path, execution: ExecutorSettings, listener: Listener | None) -> RunReport:
    """Do the runs of a plan that are not there yet; within `locked(folder)`."""
    store = RecordStore(folder)
    survey = survey_plan(plan, store)
    jobs = [job for job in plan.jobs if job.key not in survey.records]
    again, notes = plan.remake(jobs, folder / ARTIFACTS)
    plan.check_data(jobs)
    for job in plan.jobs:
        if job.key in survey.records:
            clear_work(folder, job)
    ledger = run_jobs([*again, *jobs], folder, execution, listener, present=len(survey.records) - len(again))
    by_key = {**survey.records, **ledger.records}
    return RunReport(
        out=folder,
        records=tuple(by_key[job.key] for job in plan.jobs if job.key in by_key),
        made=len(ledger.made),
        failures=tuple(ledger.failures),
        notes=(*plan.notes, *notes, *survey.strangers),
    )


def run_jobs(
    jobs: Iterable[Job],
    out: Path,
    execution: ExecutorSettings,
    listener: Listener | None = None,
    *,
    grow: Grow | None = None,
    present: int = 0,
) -> JobQueue:
    """Do jobs, and those that their results make possible; within `locked(out)`.

    Args:
        jobs: To begin with.
        out: The output folder.
        execution: Which executor does them, with how many workers and threads, on which device.
        listener: Is told what happens; by default nobody is.
        grow: Gives the jobs that a result makes possible: called with the job and its record, or its failure.
            Where it is given, a job whose record is there counts as done at once, so that a queue that was
            stopped is gone through again to where it was.
        present: Records that were there before, for the listener.

    Returns:
        Records and failures.

    Raises:
        CellzooError: No such executor, or the device is not there.
        OutputError: The folder cannot be written.
        KeyboardInterrupt: The user stopped it.
    """
    listener = listener or Silent()
    store = RecordStore(out)
    store.prepare()
    kept = FailureStore(out)

    def keep(job: Job, failure: Failure | None) -> None:
        if failure is None:
            kept.forget(job)
        else:
            kept.keep(failure, setup.code, setup.environment)

    lookup = (lambda job: store.find(job.stem, job.key)) if grow else None
    ledger = JobQueue(listener, lookup=lookup, grow=grow, keep=keep)
    ledger.add(jobs)
    if not len(ledger):
        return ledger
    device = resolve_device(execution.device)
    setup = RunSetup(out.resolve(), device, describe_code(), describe_environment(device, execution.threads))
    size = execution.size(device) if grow else min(execution.size(device), len(ledger))
    cluster = None
    if execution.executor == "ray":
        from tasks.runs.executors.cluster import connect

        cluster = connect(execution.address, size, execution.threads)
    ledger.begin(present, size)
    stopped = True
    try:
        if cluster is not None:
            from tasks.runs.executors.actors import run_in_cluster

            run_in_cluster(ledger, setup, listener, size, cluster, execution.longest_silence)
        elif execution.executor == "serial":
            from tasks.runs.executors.serial import run_serially

            run_serially(ledger, setup, listener)
        else:
            from tasks.runs.executors.processes import run_in_processes

            run_in_processes(ledger, setup, listener, size, execution.longest_silence)
        stopped = False
    finally:
        listener.end(stopped)
        if cluster is not None:
            cluster.close()
    return ledger


def request_plan(
    suite: str | Path | Suite,
    cells: Iterable[str | Path],
    seeds: int | Sequence[int],
    *,
    data: str | Path | None,
    settings: Mapping[str, Any] | None,
    budget: str | None = None,
    preset: str | None = None,
    keep_models: bool = False,
) -> RunPlan:
    """Work out what `run_suite` would run; writes nothing. Arguments and errors as there."""
    if isinstance(seeds, int) and not 1 <= seeds <= MAX_SEEDS:
        raise CellzooError(
            f"{seeds} seeds: expected at least 1 and at most {MAX_SEEDS}; one seed alone is written {seeds},"
        )
    return make_plan(
        suite if isinstance(suite, Suite) else find_suite(str(suite)),
        cells,
        range(seeds) if isinstance(seeds, int) else seeds,
        data_dir=None if data is None else typed_path(str(data), "--data"),
        settings=with_budget(settings or {}, budget),
        preset=preset,
        keep_models=keep_models,
    )


def survey_plan(plan: RunPlan, store: RecordStore) -> Survey:
    """Find which runs of the plan are there; errors as `RecordStore.survey`."""
    return store.survey({job.key: job.stem for job in plan.jobs})

"""Runs a search: the function behind `cellzoo search`, also for use in Python."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cellzoo.errors import DataError, OutputError, RunError
from cellzoo.system.regular_file import read_json
from search.run.chain import Chain
from search.run.found import FOUND, found_name, write_found
from search.run.worth import write_worth
from tasks.runs.device import resolve_device
from tasks.runs.events import describe_failure
from tasks.runs.lock import locked
from tasks.runs.run import ExecutorSettings, run_jobs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from search.run.chain import Found, Retrain
    from search.run.request import SearchPlan
    from tasks.metric import Metric
    from tasks.runs.events import Failure, Listener
    from tasks.runs.record import RunRecord


@dataclass(frozen=True)
class SearchReport:
    """The results of a command.

    Attributes:
        out: The output folder.
        searches: The number of searches requested.
        found: Those that found a cell, in the order of the seeds.
        best: The best of them on dev.
        full: The records of its full training.
        metric: The metric by which it was selected.
        failures: The runs that failed.
    """

    out: Path
    searches: int
    found: tuple[Found, ...]
    best: Found
    full: tuple[RunRecord, ...]
    metric: Metric
    failures: tuple[Failure, ...]

    @property
    def path(self) -> Path:
        """The cell file."""
        return self.out / FOUND


def run_search(
    plan: SearchPlan,
    seeds: Sequence[int],
    out: Path,
    *,
    execution: ExecutorSettings | None = None,
    retrain: Retrain | None = None,
    listener: Listener | None = None,
) -> SearchReport:
    """Search with each seed, optionally train the found cells, and write a record of every run.

    Runs that have a record are not repeated, and a run that was stopped or killed is continued. A search that
    fails does not stop the others.

    Args:
        plan: The search.
        seeds: Of the searches.
        out: Output folder; only one call at a time may use it.
        execution: The executor of the runs; by default one worker process for each processor.
        retrain: The training of found cells; None for none.
        listener: Receives the events of runs; by default none does.

    Raises:
        CellzooError: An argument is wrong; nothing was run.
        RunError: No search found a cell, or no found cell could be trained.
        OutputError: The folder cannot be written or is in use.
        KeyboardInterrupt: The user stopped it; the same call continues it.
    """
    execution = execution or ExecutorSettings()
    execution.check()
    chain = Chain(plan, seeds, out, retrain, execution.size(resolve_device(execution.device)))
    with locked(out):
        first = next(iter(chain.searches.values()))
        if not (out / "records" / f"{first.stem}.json").exists():
            check_data(chain)
        try:
            ledger = run_jobs(chain.start(), out, execution, listener, grow=chain.grow)
        finally:
            chain.close()
        chain.clear()
        failures = tuple(ledger.failures)
        for failure in failures:
            if failure.stops_all:
                raise OutputError(failure.message)
        best = chain.best()
        if best is None:
            lines = "\n  ".join(describe_failure(failure) for failure in failures)
            what = "no found cell could be trained" if chain.found() else "no search found a cell"
            raise RunError(f"{out}: {what}:\n  {lines}")
        _write_best(out, chain, best)
        full = tuple(chain.full())
        if retrain is not None and len(full) == len(set(retrain.test_seeds)):
            # A record is never changed afterwards, so it must not be written before the full training is
            # complete.
            write_worth(chain, out)
    return SearchReport(out, len(chain.searches), tuple(chain.found()), best, full, chain.metric, failures)


def check_data(chain: Chain) -> None:
    """Read and check all data of a search and of the training that follows, before anything starts.

    Raises:
        DataError: It cannot be read, or is too small or degenerate.
    """
    from search.run.task import SearchTask

    plan = chain.plan
    SearchTask().check(plan.config, plan.data)
    for config in chain.stages.values():
        plan.target.task.check(config, plan.data)


def _write_best(out: Path, chain: Chain, best: Found) -> None:
    """Write the cell file of the best search; its name has the number of searches."""
    from cellzoo.catalog import entry

    path = out / chain.searches[best.seed].work / FOUND
    own = entry(path)
    config, several = chain.plan.config, len(chain.searches)
    ending = f"-best-of-{several}" if several > 1 else ""
    write_found(
        out / FOUND,
        found_name(chain.plan.method, config.task, best.seed, best.cell.hash, ending),
        best.cell,
        own.source,
        own.searched_on,
        {name: value for name, value in _notes(path, own.notes).items() if name not in ("hash", "warning")},
    )


def _notes(path: Path, text: str) -> dict[str, Any]:
    try:
        notes = read_json(text)
    except ValueError as error:
        raise DataError(f"{path}: notes: is not the JSON that a search writes ({error!s:.200})") from error
    if not isinstance(notes, dict):
        raise DataError(f"{path}: notes: is not the table that a search writes")
    return notes

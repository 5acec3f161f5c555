"""Search with several seeds, retrain each found cell briefly and the best fully, and keep it all as records.

OUT/searches/seed0/         one search each
OUT/brief/records/          the brief retraining of every found cell
OUT/full/records/           the full retraining of the best
OUT/records/                one record a search: what it cost and what its cell is worth
OUT/best.toml               the best cell, its name saying of how many
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cellzoo.catalog import entry
from cellzoo.errors import CellzooError, RunError
from cellzoo.system.atomic import output_errors, write_atomically
from search.run.directory import RunDirectory
from search.run.found import toml_text
from search.run.loop import run_search
from search.run.prepare import request_plan
from search.run.progress import show_search
from search.then.budgets import STAGES, retraining_suite
from search.then.outcome import Candidate, best_of, search_records
from tasks.runs.lock import locked
from tasks.runs.progress import show_progress
from tasks.runs.run import request_plan as request_runs
from tasks.runs.run import run_suite
from tasks.runs.store import RecordStore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cellzoo.catalog import CellEntry
    from search.objectives.kind import ObjectiveKind, Retraining
    from search.run.configuration import Configuration
    from search.run.loop import Plan
    from tasks.runs.record import RunRecord
    from tasks.runs.run import Engine, Report
    from tasks.suites.suite import Suite

_NAME_LIMIT = 63
_ANY_CELL = "lstm"


@dataclass(frozen=True)
class Chain:
    """What is asked for.

    Attributes:
        method: Name of the method.
        on: As `search.objectives.registry.find_target` takes it.
        preset: Settings of the searches and of the retraining.
        searches: Seeds of the searches, or how many.
        test_seeds: Seeds of the full retraining, or how many.
        brief_seeds: Seeds of the brief retraining.
        data: Folder with original data.
        device: As in `request_plan`.
        threads: Of each search and each retraining.
        changes: Changed settings of the search.
        brief: Changed settings of the brief retraining.
        full: Changed settings of the full retraining.
        beside: Cells that are retrained beside the found ones.
        workers: Retrainings at a time; None: as many as there are processors.
        engine: Of the retrainings, as in `run_suite`.
    """

    method: str
    on: str
    preset: str = "small"
    searches: int | Sequence[int] = 4
    test_seeds: int | Sequence[int] = 3
    brief_seeds: int | Sequence[int] = 1
    data: str | Path | None = None
    device: str = "auto"
    threads: int = 1
    changes: Mapping[str, Any] = field(default_factory=dict)
    brief: Mapping[str, Any] = field(default_factory=dict)
    full: Mapping[str, Any] = field(default_factory=dict)
    beside: Sequence[str | Path] = ()
    workers: int | None = None
    engine: Engine = "processes"

    @property
    def seeds(self) -> list[int]:
        """The seeds of the searches.

        Raises:
            CellzooError: There is none.
        """
        seeds = (
            list(range(self.searches)) if isinstance(self.searches, int) else list(dict.fromkeys(self.searches))
        )
        if not seeds:
            raise CellzooError("no search was asked for; expected at least one seed")
        return seeds

    def plan(self, seed: int) -> Plan:
        """The search of one seed; errors as `request_plan`."""
        return request_plan(
            self.method,
            self.on,
            preset=self.preset,
            seed=seed,
            data=self.data,
            device=self.device,
            threads=self.threads,
            changes=self.changes,
        )

    def suites(self, plan: Plan) -> dict[str, Suite]:
        """The suite of each stage of retraining, checked as far as it can be without the cells to be found.

        Args:
            plan: One of the searches.

        Raises:
            CellzooError: A setting, a seed or a cell beside the found ones is wrong.
        """
        data, folder = plan.configuration.data, plan.surroundings.folder
        stages = {"brief": (self.brief, self.brief_seeds), "full": (self.full, self.test_seeds)}
        suites = {stage: retraining_suite(self.preset, _kind(plan), data, stage) for stage in STAGES}
        for stage, (settings, seeds) in stages.items():
            cells = self.beside or [_ANY_CELL]
            request_runs(suites[stage], cells, seeds, data=folder, settings=settings)
        return suites


@dataclass(frozen=True)
class ChainResult:
    """What came of it.

    Attributes:
        out: The folder.
        searches: How many were asked for.
        candidates: One for each search that found a cell, in the order of the seeds.
        best: The best of them on held-out data, after brief retraining.
        full: The records of its full retraining.
        retraining: Which metric is which.
        failures: Searches and retrainings that did not finish, in words.
    """

    out: Path
    searches: int
    candidates: tuple[Candidate, ...]
    best: Candidate
    full: tuple[RunRecord, ...]
    retraining: Retraining
    failures: tuple[str, ...]


def run_chain(chain: Chain, out: Path) -> ChainResult:
    """Do all of it, or what is left of it.

    Raises:
        CellzooError: The request is wrong, all searches stopped, or no found cell could be retrained.
        OutputError: The folder cannot be written or is in use.
    """
    seeds = chain.seeds
    first = chain.plan(seeds[0])
    objective = _kind(first)
    suites = chain.suites(first)
    with locked(out):
        entries, failures = _search(chain, first, out)
        folder = first.surroundings.folder

        def retrain(stage: str, cells: list[str | Path], wanted: int | Sequence[int]) -> Report:
            return run_suite(
                suites[stage],
                [*cells, *chain.beside],
                wanted,
                out=out / stage,
                data=folder,
                engine=chain.engine,
                workers=chain.workers,
                threads=chain.threads,
                device=chain.device,
                settings=chain.brief if stage == "brief" else chain.full,
                listener=show_progress(),
            )

        brief = retrain("brief", [directory.found for _, directory, _ in entries], chain.brief_seeds)
        candidates = tuple(
            Candidate(
                configuration,
                cell,
                tuple(record for record in brief.records if record.cell.hash == cell.cell.hash),
                directory,
            )
            for configuration, directory, cell in entries
        )
        if not any(candidate.records for candidate in candidates):
            brief.raise_for_failures()
            raise RunError(f"{out}: no found cell has a record of its retraining")
        best = best_of(candidates, objective.retraining)
        full = retrain("full", [_write_best(out / "best.toml", best.entry, len(seeds))], chain.test_seeds)
        mine = tuple(record for record in full.records if record.cell.hash == best.entry.cell.hash)
        if not full.failures:
            # A record is never changed, so none is written from half of the full retraining.
            store = RecordStore(out)
            store.prepare()
            search_records(candidates, best, mine, objective.retraining, first, seeds, store)
    failures += [f"{failure.job.label}: {failure.message}" for failure in (*brief.failures, *full.failures)]
    if full.failures:
        failures.append(f"{out}: the searches have no records before the full retraining is complete")
    return ChainResult(out, len(seeds), candidates, best, mine, objective.retraining, tuple(failures))


def _search(
    chain: Chain, first: Plan, out: Path
) -> tuple[list[tuple[Configuration, RunDirectory, CellEntry]], list[str]]:
    """Do the searches; one that stops does not stop the others.

    Returns:
        Each search that has found a cell, and what went wrong with the others.

    Raises:
        RunError: All stopped.
    """
    entries = []
    failures = []
    for seed in chain.seeds:
        plan = first if seed == first.configuration.seed else chain.plan(seed)
        directory = RunDirectory(out / "searches" / f"seed{seed}")
        try:
            run_search(plan, directory, show_search())
        except RunError as error:
            failures.append(str(error))
            continue
        entries.append((plan.configuration, directory, entry(directory.found)))
    if not entries:
        raise RunError("every search stopped:\n  " + "\n  ".join(failures))
    return entries, failures


def _kind(plan: Plan) -> ObjectiveKind:
    from search.objectives.registry import kinds

    return kinds()[plan.configuration.objective]


def _write_best(path: Path, best: CellEntry, searches: int) -> Path:
    """Write the best cell under a name that says of how many searches it is the best."""
    stem, _, digits = best.name.rpartition("-")
    ending = f"-best-of-{searches}-{digits}"
    named = replace(best, name=f"{stem[: _NAME_LIMIT - len(ending)]}{ending}")
    keys = ("name", "notation", "genotype", "source", "searched_on", "licence", "confidence", "notes")
    with output_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{key} = {toml_text(getattr(named, key))}\n" for key in keys]
    write_atomically(path, "".join(lines).encode())
    return path

"""A search as a task: its subject is a method, and its result is a cell file.

A search with a supernet is trained here, by the same training loop as any task. The candidates of a sampler are
separate runs that are executed before; the run of the search itself only reads the history and concludes.
"""

from __future__ import annotations

import time
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from cellzoo.errors import DataError
from cellzoo.system.regular_file import read_json, require_regular
from search.registry import find_method
from search.run.cost import FLOPS
from search.run.found import FOUND, found_name, write_found
from search.run.sampling import conclude
from search.run.settings import (
    DEV_LOSS,
    SECONDS,
    SearchSettings,
    build_problem,
    cell_notes,
    method_settings,
    outline_of,
    problem_settings,
    selection_metric,
)
from tasks.metric import Metric
from tasks.problem import LOSS
from tasks.registry import TaskSource, find_problem
from tasks.runs.store import FOLDER
from tasks.task import Outcome, ParameterCounts, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from cellzoo.cells.cell import Cell
    from search.methods.derived import CellNote
    from search.methods.kind import MethodKind
    from tasks.data.found import FoundData
    from tasks.problem import Batch
    from tasks.runs.record import RunRecord
    from tasks.settings import Json
    from tasks.task import Context, Subject

SOURCE = TaskSource("search.run.task:SearchTask", "cellzoo")
_LONGEST_ITEM = 1_000_000


class SearchTask(Task):
    """Finds a cell. Its metrics are those of the search; the quality of the cell is measured by training it."""

    name = "search"
    title = "Search for a cell"
    revision = 1
    settings = SearchSettings
    leaves = FOUND

    def data(self, config: SearchSettings) -> tuple[str, ...]:
        """See `Task`."""
        return outline_of(config).data

    def metrics(self, config: SearchSettings) -> tuple[Metric, ...]:
        """See `Task`: seconds, operations of a supernet, and the metrics on dev that the search reached."""
        outline = outline_of(config)
        chosen = selection_metric(outline)
        names = {metric.name: metric for metric in (chosen, DEV_LOSS)}
        measured = [chosen] if config.training_settings else list(names.values())
        reached = "the best candidate" if config.training_settings else "shared weights"
        return (
            Metric(SECONDS, "search (s)", higher_is_better=False, digits=0),
            *([] if config.training_settings else [FLOPS]),
            *(
                replace(metric, name=f"dev_{metric.name}", title=f"dev {metric.title}, {reached}")
                for metric in measured
            ),
        )

    def check(self, config: SearchSettings, data: Mapping[str, FoundData]) -> None:
        """See `Task`."""
        kind = find_problem(config.problem)
        kind.check(data, problem_settings(kind, config))

    def run(self, config: SearchSettings, subject: Subject, seed: int, context: Context) -> Outcome:
        """See `Task`; writes `found.toml` into the work folder and as the artifact."""
        if config.training_settings:
            outcome, cell = conclude(config, context.work)
        else:
            outcome, cell = _search(config, seed, context)
        for path in (context.work / FOUND, *([context.artifact] if context.artifact else [])):
            _write_found(path, cell, config, subject, seed, context, outcome)
        return outcome


def cell_of(record: RunRecord, out: Path) -> CellNote:
    """The cell that a search found, from the items of its record.

    Args:
        record: Of the search.
        out: The output folder of the record.

    Raises:
        DataError: The items cannot be read, or do not have the cell.
    """
    from pydantic import ValidationError

    from search.methods.derived import CellNote

    path = out / FOLDER / record.items.file
    try:
        require_regular(path)
        with path.open("rb") as stream:
            first = read_json(stream.readline(_LONGEST_ITEM))
        if not isinstance(first, dict):
            raise ValueError("is not a table")
        return CellNote.model_validate({name: first[name] for name in CellNote.model_fields if name in first})
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValidationError, ValueError) as error:
        raise DataError(f"{path}: does not contain the cell that the search found") from error


def _search(config: SearchSettings, seed: int, context: Context) -> tuple[Outcome, CellNote]:
    """Train a supernet and select a cell."""
    import torch

    from search.methods.derived import describe_cell
    from search.supernets.flops import EPOCH_FLOPS
    from tasks.training.fit import precision_notes
    from tasks.training.loop import Budget, Place, train
    from tasks.training.memory import memory_errors
    from tasks.training.streams import RandomStreams

    began = time.perf_counter()
    context.report(0.0, "reading data")
    device = torch.device(context.device)
    with memory_errors(context.label):
        problem = build_problem(config, context.data, device, context.cache)
    streams = RandomStreams(seed, device)
    place = Place(context.work, context.identity, context.label, context.report)
    kind: MethodKind = find_method(config.method)  # type: ignore[assignment]
    settings = method_settings(config)
    found: list[CellNote] = []
    last_flops = 0
    prepared = time.perf_counter() - began
    with streams.in_force(), memory_errors(context.label):
        method = kind.build(settings, problem, streams.model)

        def choose(validation: Iterator[Batch], progress: Callable[[int, int], None]) -> Mapping[str, Any]:
            nonlocal last_flops
            cell: Cell = method.conclude(validation, progress)
            found.append(describe_cell(cell, method.notation))
            last_flops = method.take_flops()
            return {"cell": found[-1].model_dump(mode="json", exclude_none=True), EPOCH_FLOPS: last_flops}

        chosen = time.perf_counter()
        standing = train(method, problem, Budget(config.epochs), streams, place, choose)
        concluded = time.perf_counter() - chosen - sum(standing.seconds.values())
    cell = found[-1]
    history: Sequence[dict[str, Any]] = standing.history
    seconds = {**standing.seconds, "prepare": prepared, "conclude": max(0.0, concluded)}
    outline = outline_of(config)
    dev = history[-1]["dev"]
    reached = {
        f"dev_{name}": dev.get(name) if dev.get(name) is not None else float("nan")
        for name in {outline.selection, LOSS}
    }
    weights = sum(weight.numel() for weight in method.model.parameters())
    own = sum(weight.numel() for weight in method.rnn.parameters())
    outcome = Outcome(
        metrics={
            SECONDS: sum(seconds.values()),
            FLOPS.name: sum((epoch[EPOCH_FLOPS] for epoch in history), last_flops) / 1e9,
            **reached,
        },
        items=[_item(cell)],
        parameters=ParameterCounts(own, weights - problem.embedding_parameters(method.model), weights),
        flops_per_token=0,
        tokens=standing.tokens,
        seconds=seconds,
        history=history,
        facts={**problem.facts, "search steps": standing.steps},
        notes=(*cell_notes(cell), *precision_notes(getattr(settings, "precision", "full"), device)),
    )
    return outcome, cell


def _item(cell: CellNote) -> dict[str, Json]:
    return {"split": "dev", **cell.model_dump(mode="json", exclude_none=True)}


def _write_found(
    path: Any,
    cell: CellNote,
    config: SearchSettings,
    subject: Subject,
    seed: int,
    context: Context,
    outcome: Outcome,
) -> None:
    corpus = ", ".join(outline_of(config).data)
    notes: dict[str, Json] = {
        "search": context.key,
        **config.model_dump(mode="json"),
        "data": {name: dict(found.sha256) for name, found in context.data.items()},
        "seed": seed,
        "search_seconds": round(outcome.metrics[SECONDS], 1),
        **({"search_gigaflops": outcome.metrics[FLOPS.name]} if FLOPS.name in outcome.metrics else {}),
        **{name: value for name, value in outcome.facts.items() if name.startswith("search ")},
    }
    write_found(
        path,
        found_name(find_method(config.method).name, config.task, seed, cell.hash),
        cell,
        f"searched with cellzoo {version('cellzoo')}, {subject.name}, seed {seed}",
        f"{config.task} ({config.problem}: {corpus})",
        notes,
    )

"""Real training in the benchmark's protocol, to reproduce a recipe's log or to train beyond its last epoch.

The model, its sizes and its training are those of the task `wikitext-2-awd`: all settings of the published
logs. The published runs never trained the matrices that weight drop applies to (`reference_frozen`); `fixed`
trains them. A longer training continues from the checkpoint of a shorter one.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cellzoo.errors import CellzooError, unknown
from cellzoo.system.atomic import output_errors, write_atomically
from search.benchmark.analysis import correlation
from search.benchmark.logs import PTB, WIKITEXT2
from search.run.found import toml_text
from tasks.training.events import finite

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from search.benchmark.analysis import Correlation
    from search.benchmark.table import Architecture, Table
    from tasks.runs.events import Listener
    from tasks.runs.record import RunRecord
    from tasks.runs.run import ExecutorSettings

TASK = "wikitext-2-awd"
FROZEN, FIXED = "reference_frozen", "fixed"
MODES = (FROZEN, FIXED)
MODE, EPOCHS_SETTING, CORPUS = "weight_drop_mode", "epochs", "corpus"
# At this size a recipe takes a minute on one core and cells still differ. Rare words are replaced by one
# symbol, so the vocabulary and the decoder are small. At half this size cells learn little more than word
# frequencies.
SMALL: dict[str, Any] = {
    CORPUS: PTB,
    "train_words": 120_000,
    "dev_words": 20_000,
    "min_count": 60,
    "embedding_size": 64,
    "hidden_size": 96,
    "bptt": 35,
    "learning_rate": 0.005,
    EPOCHS_SETTING: 5,
}
PAPER: dict[str, Any] = {}
SIZES = {"paper": PAPER, "small": SMALL}
RESULTS = "trained.json"


@dataclass(frozen=True)
class RealTraining:
    """One training on this machine.

    Attributes:
        number: Of the recipe.
        mode: Of weight drop.
        seed: Of the training.
        valid: Validation loss after each epoch, nats per word.
        test: Test loss of the best of them by validation loss; NaN if it diverged.
        seconds: Of training and evaluation, on this machine.
        record: Key of the run record.
    """

    number: int
    mode: str
    seed: int
    valid: tuple[float, ...]
    test: float
    seconds: float
    record: str

    @property
    def best(self) -> float:
        """The smallest validation loss."""
        return min((loss for loss in self.valid if math.isfinite(loss)), default=math.inf)


@dataclass(frozen=True)
class Request:
    """The trainings to run: every combination of recipe, mode and seed.

    Attributes:
        recipes: The recipes.
        modes: Of weight drop.
        seeds: Of the trainings.
        settings: Differences from the benchmark's protocol.
    """

    recipes: tuple[Architecture, ...]
    modes: tuple[str, ...] = (FROZEN,)
    seeds: tuple[int, ...] = (0,)
    settings: Mapping[str, Any] | None = None

    @property
    def is_protocol(self) -> bool:
        """Whether only the number of epochs and the corpus may differ from the published runs."""
        changed = set(self.settings or {}) - {EPOCHS_SETTING, CORPUS}
        return not changed and self.modes == (FROZEN,)


def train_recipes(
    request: Request,
    out: Path,
    *,
    data: str | None,
    execution: ExecutorSettings,
    listener: Listener | None = None,
) -> tuple[list[RealTraining], list[str]]:
    """Run the trainings that have no record yet, and write the results of all to `out / RESULTS`.

    Returns:
        The trainings, and a description of each that failed or diverged.

    Raises:
        CellzooError: A recipe's graph is not known, or a mode or setting is wrong.
        OutputError: The folder cannot be written.
    """
    from tasks.runs.events import describe_failure
    from tasks.runs.run import run_suite

    for mode in request.modes:
        if mode not in MODES:
            raise unknown("mode of weight drop", mode[:80], MODES)
    files = {found.number: _cell_file(out / "cells", found) for found in request.recipes}
    trained: list[RealTraining] = []
    failed: list[str] = []
    for mode in request.modes:
        report = run_suite(
            TASK,
            list(files.values()),
            list(request.seeds),
            out=out,
            data=data,
            executor=execution.executor,
            workers=execution.workers,
            threads=execution.threads,
            device=execution.device,
            settings={**(request.settings or {}), MODE: mode},
            listener=listener,
        )
        if any(failure.stops_all for failure in report.failures):
            report.raise_for_failures()
        failed += [f"{mode}: {describe_failure(failure)}" for failure in report.failures]
        numbers = {found.hash: found.number for found in reversed(request.recipes)}
        trained += [_training(record, numbers[record.cell.hash or ""], mode) for record in report.records]
    content = {
        "task": TASK,
        "unit": "nats per word",
        "settings": {key: getattr(value, "text", value) for key, value in (request.settings or {}).items()},
        "is the benchmark's protocol": request.is_protocol,
        "trainings": [asdict(one) for one in trained],
        "failed": failed,
    }
    write_atomically(out / RESULTS, (json.dumps(finite(content), indent=1) + "\n").encode())
    return trained, failed


def _cell_file(folder: Path, found: Architecture) -> Path:
    """Write a recipe as a cell file."""
    if not found.recipe:
        raise CellzooError(f"the graph of {found.number} is not known, so it cannot be trained")
    path = folder / f"recipe-{found.number}.toml"
    fields = {
        "name": f"recipe-{found.number}",
        "notation": "nas-bench-nlp",
        "genotype": found.recipe,
        "source": "Klyuchnikov et al. 2020, NAS-Bench-NLP, arXiv 2006.07116",
    }
    text = "".join(f"{key} = {toml_text(value)}\n" for key, value in fields.items())
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_bytes() != text.encode():
            write_atomically(path, text.encode())
    return path


def _training(record: RunRecord, number: int, mode: str) -> RealTraining:
    """Extract a training from its record."""
    losses = []
    for epoch in record.history:
        measured = epoch.get("dev")
        loss = measured.get("loss") if isinstance(measured, dict) else None
        losses.append(float(loss) if isinstance(loss, int | float) else math.nan)
    perplexity = record.metrics["perplexity"].value
    test = math.log(perplexity) if perplexity is not None and math.isfinite(perplexity) else math.nan
    return RealTraining(number, mode, record.seed, tuple(losses), test, record.timing.total_seconds, record.key)


def check_lines(table: Table, request: Request, trained: Sequence[RealTraining]) -> list[str]:
    """Compare the trainings with the logs, a line each; for two modes, also their rank correlation."""
    lines = []
    corpus = (request.settings or {}).get(CORPUS, WIKITEXT2)
    data = getattr(corpus, "text", corpus)
    for one in trained:
        found = table.find(one.number)
        logs = [table.curve(run, "valid") for run in table.runs(found, data)]
        shown = (
            f"{one.number} {one.mode} seed {one.seed}: validation {one.valid[-1]:.4f} after {len(one.valid)} "
        )
        shown += f"epochs, test {one.test:.4f}, {one.seconds:.0f} s"
        if request.is_protocol and logs:
            lines += [shown, *_beside(one, logs)]
        else:
            lines.append(shown)
    if not request.is_protocol:
        lines.append("not the benchmark's protocol, so not directly comparable with its logs")
    agreement = compare_modes(trained)
    if agreement is not None:
        lines.append(
            f"{FROZEN} against {FIXED}: Kendall's tau {agreement.tau:.3f} [{agreement.low:.3f}, "
            f"{agreement.high:.3f}] over {agreement.count} recipes, by the smallest validation loss"
        )
    return lines


def _beside(one: RealTraining, logs: Sequence[Sequence[float]]) -> list[str]:
    """A line for each epoch: the difference from the logs, or that it is beyond them."""
    lines = []
    for epoch, ours in enumerate(one.valid, start=1):
        theirs = [log[epoch - 1] for log in logs if len(log) >= epoch]
        if theirs:
            mean = float(np.mean(theirs))
            lines.append(
                f"  epoch {epoch}: ours {ours:.4f}, logged {mean:.4f} (mean of {len(theirs)}), "
                f"{ours - mean:+.4f}"
            )
        else:
            lines.append(f"  epoch {epoch}: ours {ours:.4f}, beyond the log")
    return lines


def compare_modes(trained: Sequence[RealTraining]) -> Correlation | None:
    """Rank correlation of the two modes over recipes, seeds averaged; None if fewer than three have both."""
    losses: dict[int, dict[str, list[float]]] = {}
    for one in trained:
        losses.setdefault(one.number, {}).setdefault(one.mode, []).append(one.best)
    pairs = [
        (float(np.mean(modes[FROZEN])), float(np.mean(modes[FIXED])))
        for modes in losses.values()
        if FROZEN in modes and FIXED in modes
    ]
    if len(pairs) < 3:
        return None
    frozen, fixed = zip(*pairs, strict=True)
    return correlation(frozen, fixed)

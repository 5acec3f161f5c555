"""When and where a cell is worth trying: what the records at hand say of it, a line a task."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from cellzoo.cells.cell import Cell
    from tasks.runs.record import RunRecord

BASELINE = "lstm"


@dataclass(frozen=True)
class _Runs:
    """The scores of one cell in one setting, a seed each."""

    name: str
    scores: tuple[float, ...]

    @property
    def mean(self) -> float:
        return math.fsum(self.scores) / len(self.scores)

    @property
    def half_width(self) -> float | None:
        """Of the 95 % interval of the mean, by Student's t; None for one seed."""
        from scipy import stats

        n = len(self.scores)
        if n < 2:
            return None
        variance = math.fsum((score - self.mean) ** 2 for score in self.scores) / (n - 1)
        return float(stats.t.ppf(0.975, n - 1)) * math.sqrt(variance / n)


def worth_trying(cell: Cell, sources: Sequence[Path]) -> Iterator[str]:
    """Say how a cell did, beside every other one that was run in the same setting.

    Args:
        cell: The cell.
        sources: Record files or folders, as `cellzoo board` takes them.

    Yields:
        Two lines for each task and setting in which the cell was run, how it did and the signature of these
        numbers; one that says so where there is none.

    Raises:
        RecordError: A source holds no record.
    """
    from leaderboards.collect import collect
    from tasks.runs.record_key import content_digest
    from tasks.runs.signature import signature

    settings: dict[tuple[str, str], list[RunRecord]] = defaultdict(list)
    for record in collect(sources, skip_bad=True).records:
        if record.score is not None and record.cell.kind == "cell" and record.purpose != "tuning":
            data = {name: reference.sha256 for name, reference in record.data.items()}
            setting = {"configuration": record.configuration, "data": data, "revision": record.task.revision}
            settings[record.task.name, content_digest(setting)].append(record)
    said = False
    for (task, _), records in sorted(settings.items()):
        own = [record for record in records if record.cell.hash == cell.hash]
        if own:
            said = True
            yield f"{task}: {_line(own, records)}"
            yield f"  {signature(sorted(own, key=lambda record: record.seed))}"
    if not said:
        yield "no record of this cell in what was given"


def _line(own: Sequence[RunRecord], records: Sequence[RunRecord]) -> str:
    first = own[0]
    metric = first.metrics[first.primary]
    by_cell: dict[str, list[float]] = defaultdict(list)
    names: dict[str, str] = {}
    for record in records:
        if record.primary == first.primary and record.score is not None:
            by_cell[str(record.cell.hash)].append(record.score)
            names.setdefault(str(record.cell.hash), record.cell.name)
    runs = {digest: _Runs(names[digest], tuple(scores)) for digest, scores in by_cell.items()}
    mine = runs[str(first.cell.hash)]
    sign = 1 if metric.higher_is_better else -1
    rank = 1 + sum(sign * other.mean > sign * mine.mean for other in runs.values())
    parts = [f"{metric.title} {_interval(mine, metric.digits)}"]
    parts.append(f"rank {rank} of {len(runs)} cells")
    other = next((one for one in runs.values() if one.name == BASELINE and one is not mine), None)
    if other is not None:
        parts.append(f"{BASELINE} {_interval(other, metric.digits)}")
    speed = [record.timing.tokens_per_second for record in own]
    parts.append(f"{first.parameters.cell:,} parameters in the cell")
    parts.append(f"{math.fsum(speed) / len(speed):,.0f} tokens a second on {first.environment.device}")
    return ", ".join(parts)


def _interval(runs: _Runs, digits: int) -> str:
    half, seeds = runs.half_width, len(runs.scores)
    text = f"{runs.mean:.{digits}f}"
    return f"{text} (1 seed)" if half is None else f"{text} ± {half:.{digits}f} ({seeds} seeds)"

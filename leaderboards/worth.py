"""How one cell did in a set of run records, for `cellzoo show NAME --results`."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from cellzoo.cells.cell import Cell
    from leaderboards.stats.seeds import Summary
    from tasks.runs.record import RunRecord

BASELINE = "lstm"


def worth_trying(cell: Cell, sources: Sequence[Path]) -> Iterator[str]:
    """Describe the results of a cell, compared with all other cells that were run with the same settings.

    Args:
        cell: The cell.
        sources: Record files or folders, as `cellzoo board` takes them.

    Yields:
        Two lines for each task and group of settings in which the cell was run: its result, and the signature
        of its runs. One line saying so if there is no record of the cell.

    Raises:
        RecordError: A source holds no record.
    """
    from leaderboards.collect import collect
    from leaderboards.settings import group_by_settings
    from tasks.runs.signature import signature

    records = [
        record
        for record in collect(sources, skip_bad=True).records
        if record.score is not None and record.cell.kind == "cell" and record.purpose == "evaluation"
    ]
    found = False
    for group in group_by_settings(records):
        own = [record for record in group if record.cell.hash == cell.hash]
        if own:
            found = True
            yield f"{own[0].task.name}: {_line(own, group)}"
            yield f"  {signature(sorted(own, key=lambda record: record.seed))}"
    if not found:
        yield "no record of this cell in what was given"


def _line(own: Sequence[RunRecord], records: Sequence[RunRecord]) -> str:
    from leaderboards.stats.seeds import scale_of, summarize

    first = own[0]
    metric = first.metrics[first.primary]
    scores: dict[str | None, list[float]] = defaultdict(list)
    names: dict[str | None, set[str]] = defaultdict(set)
    for record in records:
        if record.primary == first.primary and record.score is not None:
            scores[record.cell.hash].append(record.score)
            names[record.cell.hash].add(record.cell.name)
    cells = {digest: summarize(values, scale_of(first.primary)) for digest, values in scores.items()}
    mine = cells[first.cell.hash]
    sign = 1 if metric.higher_is_better else -1
    rank = 1 + sum(sign * other.mean > sign * mine.mean for other in cells.values())
    parts = [f"{metric.title} {_summary(mine, metric.digits)}", f"rank {rank} of {len(cells)} cells"]
    for digest, other in cells.items():
        if BASELINE in names[digest] and other is not mine:
            parts.append(f"{BASELINE} {_summary(other, metric.digits)}")
            break
    speed = [record.timing.tokens_per_second for record in own]
    parts.append(f"{first.parameters.cell:,} parameters in the cell")
    parts.append(f"{math.fsum(speed) / len(speed):,.0f} tokens a second on {first.environment.device}")
    return ", ".join(parts)


def _summary(summary: Summary, digits: int) -> str:
    from leaderboards.render import numbers

    text, seeds = numbers.metric(summary.mean, digits), numbers.seeds(summary.n)
    if summary.interval is None:
        return f"{text} ({seeds})"
    return f"{text} (95 % interval {numbers.interval(summary.interval, digits)}, {seeds})"

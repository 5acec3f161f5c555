"""The cost of a search besides time: trainings, and floating-point operations of the recurrent layers.

For a sampler the trainings of its candidates are counted: the number of training words times `Cell.flops`, for
the forward and backward pass. For a supernet all its calls are counted, also on dev, by
`search.supernets.flops`. Embeddings, decoders and other layers are not counted, as in records of cells; neither
is the controller of ENAS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from search.run.history import Told, read_history
from tasks.metric import Metric
from tasks.runs.record import MetricValue, RunRecord

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

TRAININGS = Metric("trainings_search", "trainings of the search", higher_is_better=False, digits=0)
FLOPS = Metric("gigaflops_search", "GFLOPs of the search (recurrent layers)", higher_is_better=False, digits=1)
TRAINED = "search trained"
"""The fact of a record that has the number of candidates that a sampler trained."""
_PASSES = 3
"""A forward pass, and a backward pass that costs about twice as much."""


def search_cost(record: RunRecord, trained: Iterable[RunRecord]) -> dict[str, MetricValue]:
    """The cost of a search, as metrics of a record.

    Args:
        record: Of the search. A search with a supernet is one training, and its record has the operations.
        trained: Records of the candidates that it trained.
    """
    found = {TRAININGS.name: _measured(TRAININGS, float(record.facts.get(TRAINED, 1)))}
    # The record of a continued training includes the words of the shorter training.
    longest: dict[tuple[str | None, int], int] = {}
    for one in trained:
        place = (one.cell.hash, one.seed)
        longest[place] = max(longest.get(place, 0), _PASSES * one.flops_per_token * one.tokens)
    if any(longest.values()):
        found[FLOPS.name] = _measured(FLOPS, sum(longest.values()) / 1e9)
    elif FLOPS.name in record.metrics:
        found[FLOPS.name] = record.metrics[FLOPS.name]
    return found


def candidates(events: Path, records: Iterable[object]) -> list[RunRecord]:
    """The records of the candidates in a sampler's history; none if there is no history.

    Raises:
        DataError: The history is malformed.
    """
    if not events.is_file():
        return []
    keys = {line.record for line in read_history(events)[0] if isinstance(line, Told) and not line.shared}
    return [one for one in records if isinstance(one, RunRecord) and one.key in keys]


def _measured(metric: Metric, value: float) -> MetricValue:
    return MetricValue(
        value=value, title=metric.title, higher_is_better=metric.higher_is_better, digits=metric.digits
    )

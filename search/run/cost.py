"""What a search cost besides time: trainings, and floating-point operations of the recurrent layers.

Of a sampler the trainings of its candidates count: as many words as each was trained on, by what `Cell.flops`
says of one, forwards and backwards. Of a search with a supernet all that the supernet ran counts, on dev too,
by `search.supernets.flops`. Embeddings, decoders and other layers around them count nowhere, as in records of
cells; neither does the controller of ENAS.
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
"""The fact of a record that says how many candidates a sampler has trained."""
_PASSES = 3
"""Forward, and a backward pass that takes about twice as much."""


def search_cost(record: RunRecord, trained: Iterable[RunRecord]) -> dict[str, MetricValue]:
    """The cost of a search, as metrics of a record.

    Args:
        record: Of the search. A search with a supernet is one training, and says its operations itself.
        trained: Of the candidates that it trained.
    """
    found = {TRAININGS.name: _measured(TRAININGS, float(record.facts.get(TRAINED, 1)))}
    # A training that is gone on from has all words of the shorter one in its record.
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
    """The records of the candidates that a sampler's history names; none without a history.

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

"""Reads the per-item statistics of runs, from which the intervals for new test sets are computed."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING, Any

import numpy as np

from cellzoo.errors import RecordError
from leaderboards.collect import check_regular
from leaderboards.stats.items import evaluate
from leaderboards.stats.seeds import from_scale, scale_of, to_scale

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from leaderboards.collect import Collection
    from tasks.runs.record import RunRecord

LARGEST_ITEMS = 256 << 20
TOLERANCE = 1e-6
_IDENTITY = ("index", "word1", "word2")


class ItemsError(RecordError):
    """The value computed from the items is not the value in the record."""


def read_columns(path: Path, part: str) -> dict[str, list[Any]]:
    """Read the items of one split or set as columns.

    Args:
        path: A `.items.jsonl` file.
        part: Value of the field `split` or `set` of the items to read.

    Returns:
        Field -> values of all items, as they are in the file.

    Raises:
        RecordError: The file is not regular, too large, or not JSON lines with the same fields.
    """
    from pydantic_core import from_json

    check_regular(path, LARGEST_ITEMS, "a file of items")
    try:
        lines = path.read_bytes().split(b"\n")
        items = from_json(b"[" + b",".join(line for line in lines if line) + b"]", cache_strings="all")
        items = [item for item in items if item.get("split", item.get("set", part)) == part]
        names = items[0].keys() if items else ()
        return {name: [item[name] for item in items] for name in names}
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, AttributeError) as error:
        raise RecordError(f"{path}: is not one JSON object a line with the same fields ({error})") from error


def part_of(metric: str) -> tuple[str, str]:
    """Split the name of a metric into the split or set that it is computed on, and its plain name.

    `f1` is computed on the split test, `dev_f1` on the split dev, `simlex999_pearson` on the set simlex999.
    """
    before, _, name = metric.rpartition("_")
    return (before, name) if before else ("test", metric)


def run_contributions(record: RunRecord, metric: str, path: Path) -> tuple[np.ndarray, str] | None:
    """Contributions (items,) of one run to a metric on the scale of comparison, and an identifier of the items.

    Returns:
        None if the metric cannot be computed from the items.

    Raises:
        RecordError: The file cannot be read.
        ItemsError: The value computed from the items is not that of the record.
    """
    part, name = part_of(metric)
    columns = read_columns(path, part)
    try:
        found = evaluate(name, columns)
    except (TypeError, ValueError, KeyError) as error:
        raise RecordError(f"{path}: its items do not fit together ({error})") from error
    if found is None:
        return None
    value = record.value(metric)
    if isnan(value):
        return None
    scale = scale_of(metric)
    for factor in (1.0, 100.0) if scale == "plain" else (1.0,):
        given = factor * from_scale(found.value, scale)
        if abs(given - value) <= TOLERANCE * max(1.0, abs(value)):
            identity = repr([columns[field] for field in _IDENTITY if field in columns])
            # Shifted by the rounding error, so that the mean is exactly the record's value.
            return factor * found.contributions + (to_scale(value, scale) - factor * found.value), identity
    raise ItemsError(
        f"{path}: its items give {metric} {from_scale(found.value, scale):.6g}; the record says {value:.6g}"
    )


@dataclass(frozen=True)
class Evidence:
    """The items of one cell's runs.

    Attributes:
        contributions: (seeds, items) on the scale of comparison.
        identity: Identifies the items; two cells are compared on items only if it is equal.
    """

    contributions: np.ndarray
    identity: str


def gather(collection: Collection, records: Sequence[RunRecord], metric: str) -> Evidence | None:
    """Read the items of one cell's runs.

    Returns:
        None unless the metric can be computed from the items of every run, and all runs have the same items.
    """
    rows: list[np.ndarray] = []
    identities = set()
    for record in records:
        path = collection.items.get(record.key)
        if path is None or metric not in record.metrics:
            return None
        try:
            found = run_contributions(record, metric, path)
        except RecordError:
            return None
        if found is None:
            return None
        rows.append(found[0])
        identities.add(found[1])
    return Evidence(np.stack(rows), identities.pop()) if len(identities) == 1 else None

"""Scores of predicted spans: counts per sentence, and micro-averaged precision, recall and F1.

A predicted span is correct if a gold span has the same start, end and type. Tag sequences that are invalid in
their scheme can be read as spans in several ways: as conlleval and the default mode of seqeval do, or as the
strict mode of seqeval, which ignores invalid spans.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tasks.data.tags import Span
    from tasks.settings import Json


@dataclass(frozen=True)
class SpanScore:
    """True positives, false positives and false negatives; ratios are in percent, and NaN if undefined."""

    tp: int
    fp: int
    fn: int

    @property
    def precision(self) -> float:
        """Share of the predicted spans that are correct; undefined if nothing was predicted."""
        return _percent(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """Share of the gold spans that were predicted; undefined if there are no gold spans."""
        return _percent(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; undefined if there are neither gold nor predicted spans."""
        return _percent(2 * self.tp, 2 * self.tp + self.fp + self.fn)


def _percent(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole else math.nan


def count_sentence(
    split: str, index: int, gold: Iterable[Span], predicted: Iterable[Span], strict: Iterable[Span]
) -> dict[str, Json]:
    """Count one sentence.

    Args:
        split: Name of the split.
        index: Index of the sentence in the split.
        gold: The gold spans.
        predicted: The predicted spans, as conlleval reads tags.
        strict: The predicted spans, as seqeval's strict mode reads tags.

    Returns:
        An item of an evaluation: `split`, `index`, `tp`, `fp`, `fn`, `strict` with these three counts in strict
        mode, and `types` with the counts of each type that occurs, so that scores of any type and of any
        resample of sentences can be computed from items.
    """
    expected, found = set(gold), set(predicted)
    groups = _compare(expected, found)
    types: dict[str, Json] = {
        kind: [sum(span[2] == kind for span in group) for group in groups]
        for kind in sorted({span[2] for span in expected | found})
    }
    tp, fp, fn = (len(group) for group in groups)
    strictly: Json = [len(group) for group in _compare(expected, set(strict))]
    return {"split": split, "index": index, "tp": tp, "fp": fp, "fn": fn, "strict": strictly, "types": types}


def _compare(expected: set[Span], found: set[Span]) -> tuple[set[Span], set[Span], set[Span]]:
    """Return true positives, false positives and false negatives."""
    return expected & found, found - expected, expected - found


def micro(items: Iterable[Mapping[str, Json]]) -> SpanScore:
    """Sum the counts of items."""
    return _sum([item["tp"], item["fp"], item["fn"]] for item in items)


def micro_strict(items: Iterable[Mapping[str, Json]]) -> SpanScore:
    """Sum the counts of items in strict mode."""
    return _sum(item["strict"] for item in items)


def _sum(counts: Iterable[Json]) -> SpanScore:
    sums = [0, 0, 0]
    for of_item in counts:
        if not isinstance(of_item, list) or not all(isinstance(count, int) for count in of_item):
            raise TypeError(f"an item counts {of_item!r}; expected [tp, fp, fn]")
        sums = [total + int(count) for total, count in zip(sums, of_item, strict=True)]  # type: ignore[arg-type]
    return SpanScore(*sums)

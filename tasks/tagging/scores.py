"""Scores of predicted spans: counts a sentence, and micro-averaged precision, recall and F1 over any of them.

A predicted span counts when its start, its end and its type are those of a gold span. A tag sequence that its
scheme forbids can be read as spans in several ways: conlleval's, which is also that of seqeval's default mode,
and seqeval's strict one, in which what the scheme forbids is not a span.
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
    """True positives, false positives and false negatives; the ratios are in percent, NaN where undefined."""

    tp: int
    fp: int
    fn: int

    @property
    def precision(self) -> float:
        """Share of the predicted spans that are right; undefined where nothing was predicted."""
        return _percent(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """Share of the gold spans that were predicted; undefined where there is none."""
        return _percent(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; undefined where there is no span, gold or predicted."""
        return _percent(2 * self.tp, 2 * self.tp + self.fp + self.fn)


def _percent(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole else math.nan


def count_sentence(
    split: str, index: int, gold: Iterable[Span], predicted: Iterable[Span], strict: Iterable[Span]
) -> dict[str, Json]:
    """Count one sentence.

    Args:
        split: Of which.
        index: Of the sentence in it.
        gold: The right spans.
        predicted: The spans found, as conlleval reads tags.
        strict: The same, as seqeval's strict mode reads them.

    Returns:
        An item of an evaluation: `split`, `index`, `tp`, `fp`, `fn`, `strict` with these three in strict mode,
        and `types` with them for each type that occurs, so that scores of any resample of sentences and of any
        type can be had from items.
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
    """Right, wrong and missed spans."""
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

"""Scores of predicted spans: counts a sentence, and micro-averaged precision, recall and F1 over any of them.

A predicted span counts when its start, its end and its type are those of a gold span. Tags are never
scored: a tag sequence that IOB2 forbids can be read as spans in several ways, spans in one only.
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


def count_sentence(split: str, index: int, gold: Iterable[Span], predicted: Iterable[Span]) -> dict[str, Json]:
    """Count one sentence.

    Returns:
        An item of an evaluation: `split`, `index`, `tp`, `fp`, `fn`, and `types` with [tp, fp, fn] for each
        type that occurs, so that scores of any resample of sentences and of any type can be had from items.
    """
    expected, found = set(gold), set(predicted)
    groups = (expected & found, found - expected, expected - found)
    types: dict[str, Json] = {
        kind: [sum(span[2] == kind for span in group) for group in groups]
        for kind in sorted({span[2] for span in expected | found})
    }
    tp, fp, fn = (len(group) for group in groups)
    return {"split": split, "index": index, "tp": tp, "fp": fp, "fn": fn, "types": types}


def micro(items: Iterable[Mapping[str, Json]]) -> SpanScore:
    """Sum the counts of items."""
    tp = fp = fn = 0
    for item in items:
        tp += _count(item, "tp")
        fp += _count(item, "fp")
        fn += _count(item, "fn")
    return SpanScore(tp, fp, fn)


def _count(item: Mapping[str, Json], key: str) -> int:
    value = item[key]
    if not isinstance(value, int):
        raise TypeError(f"{key} of an item is {value!r}, not a count")
    return value

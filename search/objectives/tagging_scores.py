"""Span F1 of tags that were chosen word by word, and so need not be legal IOB2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.data.conll import spans

if TYPE_CHECKING:
    from collections.abc import Sequence


def f1_of_tags(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> float:
    """Span F1 in %, over all sentences together; 0 where nothing is found.

    Args:
        gold: The tags of each sentence, legal IOB2.
        predicted: Those that a tagger gives; an `I-x` that continues nothing begins an entity, as in conlleval.
    """
    right = found = wanted = 0
    for true, guess in zip(gold, predicted, strict=True):
        expected, given = set(spans(true)), set(spans(legal(guess)))
        right, found, wanted = right + len(expected & given), found + len(given), wanted + len(expected)
    return 200.0 * right / (found + wanted) if right else 0.0


def legal(tags: Sequence[str]) -> list[str]:
    """Write `B-x` for each `I-x` that does not continue an entity of type x."""
    before = ["O", *tags[:-1]]
    return [
        f"B-{tag[2:]}" if tag.startswith("I-") and previous[2:] != tag[2:] else tag
        for previous, tag in zip(before, tags, strict=True)
    ]

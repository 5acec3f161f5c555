"""Correlations between human ratings and the scores of word vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellzoo.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Sequence

LEAST = 3
"""Minimum number of pairs for a correlation."""


def spearman(gold: Sequence[float], scores: Sequence[float | None], name: str) -> float:
    """Spearman's rank correlation over the pairs that have a score; ties get their mean rank.

    Args:
        gold: Human ratings.
        scores: Scores of the word vectors, None for pairs without one.
        name: Name of the set of pairs, for messages.

    Raises:
        RunError: Fewer than three pairs have a score, or all scores are equal.
    """
    from scipy.stats import spearmanr

    return float(spearmanr(*_scored(gold, scores, name)).statistic)


def pearson(gold: Sequence[float], scores: Sequence[float | None], name: str) -> float:
    """Pearson's correlation over the pairs that have a score. Arguments and errors as in `spearman`."""
    from scipy.stats import pearsonr

    return float(pearsonr(*_scored(gold, scores, name)).statistic)


def _scored(
    gold: Sequence[float], scores: Sequence[float | None], name: str
) -> tuple[list[float], list[float]]:
    both = [(person, score) for person, score in zip(gold, scores, strict=True) if score is not None]
    if len(both) < LEAST:
        raise RunError(
            f"{name}: the vocabulary covers {len(both)} of {len(gold)} pairs; a correlation needs at least "
            f"{LEAST}. A smaller min_count keeps more words."
        )
    people, vectors = ([pair[side] for pair in both] for side in (0, 1))
    for whose, values in (("people", people), ("the word vectors", vectors)):
        if min(values) == max(values):
            raise RunError(
                f"{name}: {whose} give all {len(both)} covered pairs the score {values[0]:g}; "
                "there is no correlation with a constant"
            )
    return people, vectors

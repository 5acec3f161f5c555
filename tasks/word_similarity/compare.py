"""Compare word vectors with human ratings, for each set of word pairs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellzoo.errors import RunError
from tasks.word_similarity.correlation import pearson, spearman
from tasks.word_similarity.pairs import cosines, coverage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from tasks.data.word_pairs import WordPair
    from tasks.settings import Json


@dataclass(frozen=True)
class Compared:
    """The result of a comparison.

    Attributes:
        metrics: `<set>_spearman`, `<set>_pearson`, `<set>_coverage`; a correlation is NaN if fewer than three
            pairs are covered, or if it is undefined.
        items: One per pair; its `score` is null if a word has no vector.
        notes: Which sets have no correlation, and why.
    """

    metrics: dict[str, float]
    items: list[dict[str, Json]]
    notes: tuple[str, ...]


def compare(
    words: Sequence[str],
    vectors: NDArray[np.floating],
    sets: Mapping[str, Sequence[WordPair]],
    titles: Mapping[str, str],
) -> Compared:
    """Score the pairs of all sets by cosines, and correlate the scores with human ratings.

    Pairs with a word that has no vector are left out; the coverage is the share of the other pairs.

    Args:
        words: V words.
        vectors: One row per word, (V, E).
        sets: Short name -> pairs.
        titles: Short name -> title for messages.

    Raises:
        RunError: No set has a correlation; the message is that of the first set.
    """
    metrics: dict[str, float] = {}
    items: list[dict[str, Json]] = []
    errors: list[RunError] = []
    for name, pairs in sets.items():
        gold = [pair.score for pair in pairs]
        scores = cosines(pairs, words, vectors)
        for what, correlation in (("spearman", spearman), ("pearson", pearson)):
            try:
                metrics[f"{name}_{what}"] = correlation(gold, scores, titles[name])
            except RunError as error:
                metrics[f"{name}_{what}"] = math.nan
                errors.append(error)
        metrics[f"{name}_coverage"] = coverage(scores)
        items += [
            {
                "set": name,
                "index": index,
                "word1": pair.word1,
                "word2": pair.word2,
                "gold": pair.score,
                "score": score,
            }
            for index, (pair, score) in enumerate(zip(pairs, scores, strict=True))
        ]
    if len(errors) == 2 * len(sets):
        raise errors[0]
    return Compared(metrics, items, tuple(dict.fromkeys(map(str, errors))))

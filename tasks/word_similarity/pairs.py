"""Score word pairs by the cosine of their word vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellzoo.errors import RunError
from tasks.data.vocabulary import END, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from tasks.data.word_pairs import WordPair


def cosines(
    pairs: Sequence[WordPair], words: Sequence[str], vectors: NDArray[np.floating]
) -> list[float | None]:
    """Cosine of each pair's vectors; None where a word has no vector.

    Words are looked up as they are and, where they have no vector, in the other forms of `spellings`; `<unk>`
    and `<eos>` count as no words.

    Args:
        pairs: What to score.
        words: V words.
        vectors: One row a word, (V, E).

    Raises:
        RunError: A vector that is needed has no direction: it is all zeros, or not finite.
    """
    rows = {word: row for row, word in enumerate(words) if word not in (UNKNOWN, END)}
    return [_cosine(pair, rows, vectors) for pair in pairs]


def spellings(word: str) -> tuple[str, str, str, str]:
    """A word as it is, in lower case, with a capital, in capitals: sets and texts differ in what they keep."""
    return word, word.lower(), word.capitalize(), word.upper()


def wanted_words(pairs: Iterable[WordPair]) -> set[str]:
    """All words that pairs can ask for."""
    return {form for pair in pairs for word in (pair.word1, pair.word2) for form in spellings(word)}


def coverage(scores: Sequence[float | None]) -> float:
    """Share of the pairs that have a score."""
    return sum(score is not None for score in scores) / len(scores)


def _cosine(pair: WordPair, rows: dict[str, int], vectors: NDArray[np.floating]) -> float | None:
    first, second = (
        next((rows[form] for form in spellings(word) if form in rows), None)
        for word in (pair.word1, pair.word2)
    )
    if first is None or second is None:
        return None
    return float(_direction(pair.word1, vectors[first]) @ _direction(pair.word2, vectors[second]))


def _direction(word: str, vector: NDArray[np.floating]) -> NDArray[np.float64]:
    exact = vector.astype(np.float64)
    length = float(np.linalg.norm(exact))
    if not 0.0 < length < np.inf:
        raise RunError(f"the vector of {word!r} has length {length}; there is no cosine with it")
    return exact / length

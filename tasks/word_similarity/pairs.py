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
    """Compute the cosine of the vectors of each pair; None if a word has no vector.

    A word is looked up unchanged and then in the other forms of `spellings`; `<unk>` and `<eos>` never match.

    Args:
        pairs: The pairs.
        words: V words.
        vectors: One row per word, (V, E).

    Raises:
        RunError: The vector of a word is all zeros or not finite, so that its cosine is undefined.
    """
    rows = {word: row for row, word in enumerate(words) if word not in (UNKNOWN, END)}
    return [_cosine(pair, rows, vectors) for pair in pairs]


def spellings(word: str) -> tuple[str, str, str, str]:
    """Return a word unchanged, in lower case, capitalised, and in upper case: sets and texts differ in case."""
    return word, word.lower(), word.capitalize(), word.upper()


def wanted_words(pairs: Iterable[WordPair]) -> set[str]:
    """Return all spellings under which the words of pairs are looked up."""
    return {form for pair in pairs for word in (pair.word1, pair.word2) for form in spellings(word)}


def coverage(scores: Sequence[float | None]) -> float:
    """Return the share of the pairs that have a score."""
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

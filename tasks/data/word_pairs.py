"""Word pairs that people scored for similarity or relatedness."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellzoo.errors import DataError

if TYPE_CHECKING:
    from tasks.data.parts import Part


@dataclass(frozen=True)
class WordPair:
    """A pair and its mean score. A set can hold a pair twice, so never key by it."""

    word1: str
    word2: str
    score: float


def read_pairs(part: Part, encoding: str = "utf-8") -> list[WordPair]:
    r"""Read lines of two words and a score, with tabs between them or, where a line has none, with spaces.

    Lines that begin with `#` and empty lines are skipped. Words are kept as they are, capitals included.

    Args:
        part: The file.
        encoding: Of its text.

    Returns:
        The pairs in the order of the file, repeats included.

    Raises:
        DataError: The file cannot be read, holds no pair, or has a line that is not one; the message names
            file, line and value.
    """
    pairs = []
    for number, line in enumerate(part.lines(encoding), start=1):
        if line.strip() and not line.startswith("#"):
            pairs.append(_pair(line, f"{part}:{number}"))
    if not pairs:
        raise DataError(f"{part}: holds no pair; expected lines of word1<tab>word2<tab>score")
    return pairs


def _pair(line: str, place: str) -> WordPair:
    fields = line.split("\t") if "\t" in line else line.split()
    if len(fields) != 3:
        raise DataError(
            f"{place}: {len(fields)} column(s) in {line[:60]!r}; expected word1<tab>word2<tab>score"
        )
    word1, word2, value = fields
    for word in (word1, word2):
        if not word or word != word.strip():
            raise DataError(
                f"{place}: {word!r} is not a word (line {line[:60]!r}); it is empty or has spaces around it"
            )
    try:
        score = math.nan if "_" in value else float(value)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise DataError(
            f"{place}: score {value!r} of {word1!r} and {word2!r} is not a finite number, such as 7.35"
        )
    return WordPair(word1, word2, score)

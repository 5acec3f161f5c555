"""Word pairs that people scored for similarity or relatedness."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellzoo.errors import DataError
from tasks.data.text_file import BYTE_ORDER_MARK, read_text

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class WordPair:
    """A pair and its mean score. A set can hold a pair twice, so never key by it."""

    word1: str
    word2: str
    score: float


def read_pairs(path: Path) -> list[WordPair]:
    r"""Read `word1<tab>word2<tab>score` lines.

    Lines that begin with `#` and empty lines are skipped. Published sets end lines in `\n` or `\r\n`;
    both are read. Words are kept as they are, capitals included.

    Returns:
        The pairs in the order of the file, repeats included.

    Raises:
        DataError: The file cannot be read, holds no pair, or has a line that is none; the message names
            file, line and value.
    """
    text = read_text(path)
    if text.startswith(BYTE_ORDER_MARK):
        raise DataError(f"{path}:1: begins with a byte order mark (U+FEFF); save the file as UTF-8 without it")
    pairs = []
    for number, line in enumerate(text.split("\n"), start=1):
        content = line.removesuffix("\r")
        if content.strip() and not content.startswith("#"):
            pairs.append(_pair(content, f"{path}:{number}"))
    if not pairs:
        raise DataError(f"{path}: holds no pair; expected lines of word1<tab>word2<tab>score")
    return pairs


def _pair(line: str, place: str) -> WordPair:
    fields = line.split("\t")
    if len(fields) != 3:
        raise DataError(
            f"{place}: {len(fields)} column(s) in {line[:60]!r}; expected word1<tab>word2<tab>score"
        )
    word1, word2, value = fields
    for word in (word1, word2):
        if not word or word != word.strip():
            raise DataError(
                f"{place}: {word!r} is no word (line {line[:60]!r}); it is empty or has spaces around it"
            )
    try:
        score = math.nan if "_" in value else float(value)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise DataError(
            f"{place}: score {value!r} of {word1!r} and {word2!r} is no finite number, such as 7.35"
        )
    return WordPair(word1, word2, score)

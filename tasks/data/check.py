"""Read a data set that was found and compare its size with the published one."""

from __future__ import annotations

import gzip
import zlib
from types import MappingProxyType
from typing import TYPE_CHECKING

from cellzoo.errors import DataError
from tasks.data.conll import read_conll
from tasks.data.line_text import TOKENS, read_line_text
from tasks.data.ner import count, read_ner
from tasks.data.news import read_news
from tasks.data.word_pairs import read_pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tasks.data.found import FoundData

PAIRS = MappingProxyType({"wordsim-353": 353, "simlex-999": 999})
CHUNKS = MappingProxyType({"train": (8936, 211_727, 106_978), "test": (2012, 47_377, 23_852)})
VECTORS = 83_341
DIMENSIONS = 50


def check(found: FoundData) -> list[str]:
    """Read all of a data set.

    Returns:
        Its size in words, a line for each part; nothing for a data set that has no published size.

    Raises:
        DataError: It cannot be read, or its size is not the published one.
    """
    return _CHECKS[found.name](found) if found.name in _CHECKS else []


def _check_ner(found: FoundData) -> list[str]:
    return [f"{split}: {count(sentences)}" for split, sentences in read_ner(found).items()]


def _check_chunks(found: FoundData) -> list[str]:
    lines = []
    for split, path in found.files.items():
        counted = count(read_conll(path))
        expected = CHUNKS[split]
        if (counted.sentences, counted.tokens, sum(counted.entities.values())) != expected:
            raise DataError(f"{path}: has {counted}; expected {expected} sentences, tokens and chunks")
        lines.append(
            f"{split}: {counted.sentences:,} sentences, {counted.tokens:,} tokens, {expected[2]:,} chunks"
        )
    return lines


def _check_line_text(found: FoundData) -> list[str]:
    lines = []
    for split, documents in read_line_text(found).items():
        tokens = sum(len(words) + 1 for words in documents)
        if tokens != TOKENS[found.name][split]:
            raise DataError(
                f"{found.name} {split}: has {tokens:,} words with <eos>; expected {TOKENS[found.name][split]:,}"
            )
        lines.append(f"{split}: {len(documents):,} lines, {tokens:,} words with <eos>")
    return lines


def _check_news(found: FoundData) -> list[str]:
    documents = read_news(found)
    return [f"text: {len(documents):,} documents, {sum(map(len, documents)):,} words"]


def _check_pairs(found: FoundData) -> list[str]:
    path = found.files["pairs"]
    pairs = read_pairs(path)
    if len(pairs) != PAIRS[found.name]:
        raise DataError(f"{path}: has {len(pairs):,} pairs; expected {PAIRS[found.name]:,}")
    return [f"pairs: {len(pairs):,} pairs"]


def _check_vectors(found: FoundData) -> list[str]:
    """Check the word2vec text format: a line with both sizes, then a word and its numbers a line."""
    path = found.files["vectors"]
    try:
        return _count_vectors(path)
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise DataError(f"{path}: is no gzip file of UTF-8 text: {error}") from error


def _count_vectors(path: Path) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as stream:
        if stream.readline().split() != [str(VECTORS), str(DIMENSIONS)]:
            raise DataError(f"{path}:1: expected the line '{VECTORS} {DIMENSIONS}'")
        number = 1
        for number, line in enumerate(stream, start=2):
            if line.count(" ") != DIMENSIONS:
                raise DataError(f"{path}:{number}: {line[:40]!r} is no word with {DIMENSIONS} numbers")
    if number - 1 != VECTORS:
        raise DataError(f"{path}: has {number - 1:,} vectors; expected {VECTORS:,}")
    return [f"vectors: {VECTORS:,} words, {DIMENSIONS} dimensions"]


_CHECKS: Mapping[str, Callable[[FoundData], list[str]]] = MappingProxyType(
    {
        "small-ner": _check_ner,
        "wnut17": _check_ner,
        "conll2000": _check_chunks,
        "ptb": _check_line_text,
        "wikitext-2": _check_line_text,
        "glove-6b-50d": _check_vectors,
        "news": _check_news,
        "wordsim-353": _check_pairs,
        "simlex-999": _check_pairs,
    }
)

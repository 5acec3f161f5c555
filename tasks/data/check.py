"""Count what a data set holds and compare with the published numbers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from cellzoo.errors import DataError
from tasks.data.read import read_examples, read_pairs, read_tagged, read_texts
from tasks.data.vectors import count_vectors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.data.conll import TaggedSentence
    from tasks.data.found import FoundData

_DIMENSIONS, _WORDS = "dimensions", "words"


def count(found: FoundData) -> dict[str, dict[str, int]]:
    """Count a data set.

    Returns:
        Split or role -> what is counted -> number, such as `{"train": {"sentences": 3394, "tokens": 62730}}`.
        Words of a text count one `<eos>` a line.

    Raises:
        DataError: It cannot be read.
    """
    kind = found.data_set.format
    if kind == "tags":
        tagged = read_tagged(found)
        spans = tagged.scheme != "tokens"
        return {split: count_sentences(sentences, spans=spans) for split, sentences in tagged.splits.items()}
    if kind == "examples":
        return {role: {"examples": len(examples.rows)} for role, examples in read_examples(found).items()}
    if kind == "pairs":
        return {"pairs": {"pairs": len(read_pairs(found))}}
    if kind == "vectors":
        counted = {role: count_vectors(part) for role, part in found.parts.items()}
        return {role: {_WORDS: words, _DIMENSIONS: size} for role, (words, size) in counted.items()}
    if kind == "model":
        return {role: {"bytes": part.path.stat().st_size} for role, part in found.parts.items()}
    return {
        split: {"lines": len(lines), "tokens": sum(len(words) + 1 for words in lines)}
        for split, lines in read_texts(found).items()
    }


def count_sentences(sentences: Sequence[TaggedSentence], *, spans: bool = True) -> dict[str, int]:
    """Count sentences, tokens, and spans in all and by type (`spans.person`)."""
    counts = {"sentences": len(sentences), "tokens": sum(len(sentence.tokens) for sentence in sentences)}
    if spans:
        types = Counter(kind for sentence in sentences for _, _, kind in sentence.spans)
        counts |= {"spans": sum(types.values()), **{f"spans.{kind}": types[kind] for kind in sorted(types)}}
    return counts


def check(found: FoundData) -> list[str]:
    """Count a data set and compare with what is published, where that is known.

    Returns:
        Its size in words, a line for each part.

    Raises:
        DataError: It cannot be read, or its size is not the published one.
    """
    counted = count(found)
    for part, expected in found.data_set.counts.items():
        for what, number in expected.items():
            got = counted.get(part, {}).get(what, 0)
            if got != number:
                raise DataError(f"{found.places}: {part} has {got:,} {what}; published are {number:,}")
    return [f"{part}: {_words(counts)}" for part, counts in counted.items()]


def _words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {what}" for what, number in counts.items() if not what.startswith("spans."))

"""The generator of the small NER corpus."""

from __future__ import annotations

import re
from random import Random
from typing import TYPE_CHECKING

from tasks.data.conll import TaggedSentence
from tasks.data.small_ner.grammar import GRAMMAR, KINDS, START
from tasks.data.small_ner.names import Names, divide, pick

if TYPE_CHECKING:
    from collections.abc import Iterable

SEED = 2017
SIZES = {"train": 600, "dev": 150, "test": 300}
UNSEEN_SHARE = {"train": 0.0, "dev": 0.5, "test": 0.5}
LOWER_SHARE = 0.15
TITLE_SHARE = 0.07

TYPES = frozenset(KINDS)
_SYMBOL = re.compile(r"^([$%])([a-z_]+)(\??)$")


def corpus(seed: int = SEED) -> dict[str, list[TaggedSentence]]:
    """Generate the corpus; no sentence occurs twice in it.

    Args:
        seed: Another seed gives other names for each split and other sentences.

    Returns:
        Split -> sentences.
    """
    rng = Random(seed)  # noqa: S311 - text, not a secret
    seen, for_dev, for_test = divide(rng)
    unseen: dict[str, dict[str, tuple[str, ...]]] = {"train": {}, "dev": for_dev, "test": for_test}
    written: set[tuple[str, ...]] = set()
    splits: dict[str, list[TaggedSentence]] = {}
    for split, size in SIZES.items():
        names = Names(seen, unseen[split], UNSEEN_SHARE[split])
        sentences: list[TaggedSentence] = []
        while len(sentences) < size:
            sentence = _sentence(rng, names)
            if sentence.tokens not in written:
                written.add(sentence.tokens)
                sentences.append(sentence)
        splits[split] = sentences
    return splits


def texts() -> dict[str, str]:
    """Write the corpus in the format that `tasks.data.conll` reads: split -> text."""
    return {split: "".join(map(_lines, sentences)) for split, sentences in corpus().items()}


def _lines(sentence: TaggedSentence) -> str:
    rows = zip(sentence.tokens, sentence.tags, strict=True)
    return "".join(f"{token}\t{tag}\n" for token, tag in rows) + "\n"


def _sentence(rng: Random, names: Names) -> TaggedSentence:
    tokens: list[str] = []
    tags: list[str] = []
    for words, kind in _expand(START, rng, names):
        tokens += words
        tags += [f"B-{kind}"] + [f"I-{kind}"] * (len(words) - 1) if kind else ["O"] * len(words)
    return TaggedSentence(tuple(_cased(tokens, rng.random())), tuple(tags))


def _expand(symbol: str, rng: Random, names: Names) -> Iterable[tuple[list[str], str]]:
    """Yield (words, entity kind or nothing) from left to right."""
    for item in pick(rng, GRAMMAR[symbol]).split():
        match = _SYMBOL.match(item)
        if match is None:
            yield [item], ""
        elif match[1] == "$":
            yield from _expand(match[2], rng, names)
        elif match[3]:
            yield names.ambiguous(rng), match[2]
        else:
            yield names.entity(match[2], rng), match[2]


def _cased(tokens: list[str], draw: float) -> list[str]:
    """Write in lower case throughout, with capitals throughout, or with one at the start."""
    if draw < LOWER_SHARE:
        return [token.lower() for token in tokens]
    if draw < LOWER_SHARE + TITLE_SHARE:
        return [token[:1].upper() + token[1:] for token in tokens]
    return [tokens[0][:1].upper() + tokens[0][1:], *tokens[1:]]

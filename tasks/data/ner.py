"""Named-entity corpora: the three splits, checked against their published counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellzoo.errors import DataError, unknown
from tasks.data.conll import parse_conll, spans
from tasks.data.known import KNOWN, Generated
from tasks.data.text_file import read_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.data.conll import TaggedSentence
    from tasks.data.found import FoundData
    from tasks.data.splits import Split


@dataclass(frozen=True)
class Counts:
    """Size of a split.

    Attributes:
        sentences: Sentences.
        tokens: Tokens.
        entities: Entity type -> entities.
    """

    sentences: int
    tokens: int
    entities: Mapping[str, int]

    def __str__(self) -> str:
        total = sum(self.entities.values())
        return f"{self.sentences:,} sentences, {self.tokens:,} tokens, {total:,} entities"


def _wnut17(sentences: int, tokens: int, *entities: int) -> Counts:
    kinds = ("person", "location", "group", "corporation", "product", "creative-work")
    return Counts(sentences, tokens, dict(zip(kinds, entities, strict=True)))


def _small_ner(sentences: int, tokens: int, *entities: int) -> Counts:
    kinds = ("person", "location", "organisation", "product")
    return Counts(sentences, tokens, dict(zip(kinds, entities, strict=True)))


# WNUT 2017: sentences, tokens and entities as published by the shared task (Derczynski et al., 2017)
COUNTS: Mapping[str, Mapping[Split, Counts]] = {
    "wnut17": {
        "train": _wnut17(3394, 62730, 660, 548, 264, 221, 142, 140),
        "dev": _wnut17(1009, 15733, 470, 74, 39, 34, 114, 105),
        "test": _wnut17(1287, 23394, 429, 150, 165, 66, 127, 142),
    },
    "small-ner": {
        "train": _small_ner(600, 10698, 289, 321, 305, 189),
        "dev": _small_ner(150, 2492, 72, 81, 77, 44),
        "test": _small_ner(300, 5224, 166, 154, 157, 68),
    },
}


def read_ner(found: FoundData) -> dict[Split, list[TaggedSentence]]:
    """Read a corpus.

    Args:
        found: What `locate.find` gave for a key of `COUNTS`.

    Returns:
        Split -> sentences, tagged in IOB2.

    Raises:
        UnknownNameError: The data set is no NER corpus.
        DataError: A file cannot be read, or its counts are not the known ones.
    """
    if found.name not in COUNTS:
        raise unknown("NER corpus", found.name, COUNTS)
    source = KNOWN[found.name].source
    texts = source.texts() if isinstance(source, Generated) else {}
    splits: dict[Split, list[TaggedSentence]] = {}
    for split, expected in COUNTS[found.name].items():
        name = str(found.files[split]) if found.files else f"{found.name} {split}"
        text = read_text(found.files[split]) if found.files else texts[split]
        splits[split] = parse_conll(text, name, types=frozenset(expected.entities))
        counted = count(splits[split])
        if counted != expected:
            raise DataError(
                f"{name}: has {counted} {dict(counted.entities)}; expected {expected} {dict(expected.entities)}"
            )
    return splits


def count(sentences: Sequence[TaggedSentence]) -> Counts:
    """Count sentences, tokens, and entities by type."""
    entities = Counter(kind for sentence in sentences for _, _, kind in spans(sentence.tags))
    return Counts(len(sentences), sum(len(sentence.tokens) for sentence in sentences), dict(entities))

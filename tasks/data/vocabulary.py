"""Words and their numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from cellzoo.system.lazy import lazy_property

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

UNKNOWN = "<unk>"
END = "<eos>"


@dataclass(frozen=True)
class Vocabulary:
    """A closed set of words; a word's number is its place.

    Attributes:
        words: All different. The first two are `<unk>`, for every word that is not in the set, and
            `<eos>`, which ends a document.
    """

    words: tuple[str, ...]

    @classmethod
    def build(cls, documents: Iterable[Sequence[str]], min_count: int = 1) -> Vocabulary:
        """Take the words that occur at least `min_count` times, the most frequent first, ties by alphabet."""
        counts = Counter(word for document in documents for word in document)
        kept = [word for word, number in counts.items() if number >= min_count and word not in {UNKNOWN, END}]
        return cls((UNKNOWN, END, *sorted(kept, key=lambda word: (-counts[word], word))))

    @lazy_property
    def index(self) -> Mapping[str, int]:
        """Word -> number."""
        return MappingProxyType({word: number for number, word in enumerate(self.words)})

    def encode(self, words: Iterable[str]) -> list[int]:
        """Number the words; one that is not in the set gets the number of `<unk>`."""
        unknown = self.index[UNKNOWN]
        return [self.index.get(word, unknown) for word in words]

    def stream(self, documents: Iterable[Sequence[str]]) -> list[int]:
        """Number the documents one after the other, `<eos>` after each."""
        end = self.index[END]
        return [number for document in documents for number in (*self.encode(document), end)]

    def __len__(self) -> int:
        return len(self.words)

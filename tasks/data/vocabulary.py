"""Words and their numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from cellzoo.errors import DataError
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

    @classmethod
    def of(cls, words: object, place: str) -> Vocabulary:
        """Take the words that a file holds, in its order.

        Args:
            words: What should be a list of them.
            place: The file, for messages.

        Raises:
            DataError: It is something else, a word stands twice, or `<unk>` or `<eos>` is not in its place.
        """
        if not isinstance(words, list) or not all(isinstance(word, str) and word for word in words):
            raise DataError(f"{place}: holds no vocabulary, which is a list of words")
        for number, reserved in enumerate((UNKNOWN, END)):
            if words[number : number + 1] != [reserved]:
                found = repr(words[number]) if number < len(words) else "missing"
                raise DataError(
                    f"{place}: word {number} of its vocabulary is {found:.60}; the first two are {UNKNOWN} "
                    f"and {END}"
                )
        seen: dict[str, int] = {}
        for number, word in enumerate(words):
            if seen.setdefault(word, number) != number:
                raise DataError(
                    f"{place}: {word!r:.60} stands twice in its vocabulary, as word {seen[word]} and word "
                    f"{number}; each word has one number"
                )
        return cls(tuple(words))

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

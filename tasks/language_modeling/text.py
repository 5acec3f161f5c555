"""Read a text as word numbers, with the lengths of its lines and notes on what affects its perplexity."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch

from cellzoo.errors import DataError
from tasks.data.read import is_one_line, read_texts
from tasks.data.vocabulary import END, UNKNOWN, Vocabulary
from tasks.language_modeling.numbers import numbers_in_memory, numbers_on_disk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from tasks.data.found import FoundData
    from tasks.data.splits import Split
    from tasks.language_modeling.numbers import Numbers
    from tasks.language_modeling.settings import LanguageModelingSettings

NEARLY_ALL = 0.95
"""Share of lines that must end in a mark for it to be recognised as an end-of-line mark."""
MANY_EMPTY = 0.45
"""Share of empty lines above which a note is made; WikiText has a third of empty lines, which count."""
END_MARKS = frozenset({END, "</s>", "<eol>", "<end>", "<nl>", "<newline>", "[eos]", "<|eos|>", "<|endoftext|>"})
UNKNOWN_MARKS = frozenset({"[unk]", "<unknown>", "@@unknown@@", "__unk__", "<unk/>", "<oov>"})
START_MARKS = frozenset({"<s>", "<bos>", "<sos>", "<start>", "[bos]", "<|bos|>", "<|startoftext|>"})


@dataclass(frozen=True)
class Text:
    """The splits of a text, with `<eos>` after each line or document.

    Attributes:
        name: Name of the data set.
        place: Its files, for messages.
        vocabulary: Words of the training split; other words count as `<unk>`.
        words: Split -> word numbers, (N,).
        lengths: Split -> number of words of each line or document with its `<eos>`, (lines,); the sum is N.
        characters: Split -> number of characters of each line, including spaces and line ends, (lines,).
        notes: Observations that matter for the interpretation of a perplexity.
        unit: What the tokens are, for notes.
    """

    name: str
    place: str
    vocabulary: Vocabulary
    words: Mapping[Split, Tensor]
    lengths: Mapping[Split, Tensor]
    characters: Mapping[Split, Tensor]
    notes: tuple[str, ...] = ()
    unit: str = "words"

    @classmethod
    def read(cls, found: FoundData, settings: LanguageModelingSettings, folder: Path | None = None) -> Text:
        """Read a text and number its words; those of a long training text are stored in a temporary file.

        Args:
            found: The files.
            settings: Settings of the text.
            folder: Folder of that file; None for the default of temporary files.

        Raises:
            DataError: A file cannot be read, a split is empty, or the vocabulary has fewer than two words.
        """
        place = found.places
        splits, notes = without_marks(read_texts(found))
        if is_one_line(found, splits):
            notes = ("the text is one line: it is cut at words, a tenth for dev and one for test", *notes)
        empty = [split for split, lines in splits.items() if not any(lines)]
        if empty:
            raise DataError(f"{place}: the {empty[0]} split has no word")
        vocabulary = Vocabulary.build(splits["train"], settings.min_count)
        known = len(set(vocabulary.words) - {UNKNOWN, END})
        if known < 2:
            raise DataError(
                f"{place}: the training text has a vocabulary of {known} word(s) that occur "
                f"{settings.min_count} times or more; there is nothing to predict. "
                "Take another text or a smaller min_count"
            )
        limits: dict[Split, int] = {"train": settings.train_words, "dev": settings.dev_words}
        words, lengths, characters = {}, {}, {}
        for split, lines in splits.items():
            limit = limits.get(split, 0)
            is_stored = split == "train" and not isinstance(lines, list)
            with numbers_on_disk(folder) if is_stored else numbers_in_memory() as numbers:
                columns = _number(lines, vocabulary, limit, numbers)
                words[split], lengths[split], characters[split] = numbers.tensor(), *map(torch.tensor, columns)
        return cls(found.name, place, vocabulary, words, lengths, characters, (*found.notes, *notes))

    @property
    def end(self) -> int:
        """The number of `<eos>`."""
        return self.vocabulary.index[END]

    @property
    def facts(self) -> dict[str, int]:
        """Numbers of words and of `<unk>` in each split, and the size of the vocabulary."""
        sizes = {f"{split} words": words.numel() for split, words in self.words.items()}
        unknown = {f"{split} {UNKNOWN}": self.unknown(split) for split in self.words}
        return {**sizes, "vocabulary": len(self.vocabulary), **unknown}

    def unknown(self, split: Split) -> int:
        """Count the words of a split that are `<unk>`."""
        return int((self.words[split] == self.vocabulary.index[UNKNOWN]).sum())


def without_marks(
    splits: Mapping[Split, Sequence[list[str]]],
) -> tuple[dict[Split, Sequence[list[str]]], tuple[str, ...]]:
    """Remove end-of-line marks from a text that has its own, so that no line has two.

    Args:
        splits: Split -> lines of words.

    Returns:
        The lines without these marks, and notes on the marks that were found.
    """
    ended, begun, inside = dict[str, list[str]](), dict[str, list[str]](), Counter[str]()
    found = {}
    for split, lines in splits.items():
        mark, share = _most_frequent((line[-1] for line in lines if line), END_MARKS)
        found[split] = lines
        if share >= NEARLY_ALL:
            found[split] = _without_last(lines, mark)
            ended.setdefault(mark, []).append(split)
        inside[split] = sum(line.count(END) for line in found[split])
        mark, share = _most_frequent((line[0] for line in found[split] if line), START_MARKS)
        if share >= NEARLY_ALL:
            begun.setdefault(mark, []).append(split)
    notes = [
        f"the lines of {', '.join(where)} end in {mark!r} already: it counts as {END}, and none is added"
        for mark, where in ended.items()
    ]
    notes += [
        f"the lines of {', '.join(where)} begin with {mark!r}, which is predicted like a word: "
        "the perplexity is lower than without it"
        for mark, where in begun.items()
    ]
    notes += _notes_on_marks(found)
    if inside.total():
        where = ", ".join(f"{split} {count:,}" for split, count in inside.items() if count)
        notes.append(f"{END!r} also occurs within lines ({where}); it counts as the end of a line, too")
    return found, tuple(notes)


def _notes_on_marks(splits: Mapping[Split, Sequence[list[str]]]) -> list[str]:
    """Make notes on marks that count as words, such as other spellings of `<unk>`, and on many empty lines."""
    unknown, glued = Counter[str](), Counter[str]()
    total = empty = 0
    for lines in splits.values():
        for line in lines:
            total += 1
            empty += not line
            unknown.update(
                word for word in line if word != UNKNOWN and word.lower() in {UNKNOWN, *UNKNOWN_MARKS}
            )
            if line and line[-1] != END and line[-1].endswith(END):
                glued[line[-1]] += 1
    notes = [
        f"{mark!r} stands in the text ({count:,} times) and counts as a word, not as {UNKNOWN}"
        for mark, count in unknown.most_common(1)
    ]
    if glued:
        word = glued.most_common(1)[0][0]
        notes.append(
            f"{glued.total():,} lines end in a word such as {word!r:.60}: {END} is part of it, and another one "
            "is added; put a space before it"
        )
    if empty > MANY_EMPTY * total:
        notes.append(
            f"{empty:,} of {total:,} lines are empty: each counts as one more {END}, so that the perplexity is "
            "lower than without them"
        )
    return notes


def _most_frequent(words: Iterable[str], marks: frozenset[str]) -> tuple[str, float]:
    """Return the most frequent of some marks, ignoring case, and its share of all words."""
    counts, total = Counter[str](), 0
    for word in words:
        total += 1
        if word.lower() in marks:
            counts[word] += 1
    mark, count = counts.most_common(1)[0] if counts else ("", 0)
    return mark, count / max(1, total)


@dataclass(frozen=True)
class _WithoutLast:
    """A lazy view of lines without a mark at their end."""

    lines: Sequence[list[str]]
    mark: str

    def __iter__(self) -> Iterator[list[str]]:
        return (line[:-1] if line and line[-1] == self.mark else line for line in self.lines)

    def __len__(self) -> int:
        return len(self.lines)


def _without_last(lines: Sequence[list[str]], mark: str) -> Sequence[list[str]]:
    cut = cast("Sequence[list[str]]", _WithoutLast(lines, mark))
    return list(cut) if isinstance(lines, list) else cut


def _number(
    lines: Iterable[list[str]], vocabulary: Vocabulary, limit: int, numbers: Numbers
) -> tuple[list[int], list[int]]:
    """Number the words of lines, with `<eos>` after each, up to `limit` words; 0 for no limit.

    Returns:
        The number of words of each line with `<eos>`, and the number of its characters, counting one separator
        after each word, and one for an empty line.
    """
    end, total = vocabulary.index[END], 0
    lengths: list[int] = []
    characters: list[int] = []
    for line in lines:
        if limit and total >= limit:
            break
        found = [*vocabulary.encode(line), end][: limit - total if limit else None]
        numbers.add(found)
        total += len(found)
        lengths.append(len(found))
        characters.append(sum(map(len, line[: len(found)])) + max(1, min(len(line), len(found))))
    return lengths, characters

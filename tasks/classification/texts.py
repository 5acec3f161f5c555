"""Tokenise labelled texts, split them, and build the vocabulary."""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cellzoo.errors import DataError
from tasks.data.read import UNLABELLED, read_examples

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.classification.settings import ClassificationSettings
    from tasks.data.catalog import Table
    from tasks.data.examples import Example
    from tasks.data.found import FoundData

_WORD = re.compile(r"\w+?(?=n't\b)|n't\b|'\w+|\w+|[^\w\s]")


def words_of(text: str) -> list[str]:
    """Split a text into lower-cased words as in GloVe; `n't`, `'s` and punctuation marks are separate words."""
    return _WORD.findall(text.lower().replace("\u2019", "'")) or [text.strip().lower() or " "]


@dataclass(frozen=True)
class Tokenized:
    """A tokenised example.

    Attributes:
        first: Words of the text, or of the first text of a pair.
        second: Words of the second text; empty for single texts.
        label: Class number, or score.
    """

    first: tuple[str, ...]
    second: tuple[str, ...]
    label: float


@dataclass(frozen=True)
class Corpus:
    """The examples of each split.

    Attributes:
        name: Name of the data set.
        table: Its labels and metrics.
        splits: `train`, `dev` (which selects the best epoch), `test` (which is reported: GLUE's dev set, as its
            test sets have no labels), and `mismatched` if there is one.
        unlabelled: Role of a file -> its examples without labels, which are to be predicted.
        notes: Caveats for the reader of the results.
    """

    name: str
    table: Table
    splits: Mapping[str, Sequence[Tokenized]]
    notes: tuple[str, ...]
    unlabelled: Mapping[str, Sequence[Tokenized]] = field(default_factory=dict)

    @property
    def is_pairs(self) -> bool:
        """Whether an example is a pair of texts."""
        return self.table.second is not None

    @classmethod
    def read(cls, found: FoundData, settings: ClassificationSettings) -> Corpus:
        """Read and split a data set.

        Raises:
            DataError: A file is malformed, a split is too small, or train has one class only.
        """
        files = read_examples(found)
        table = found.data_set.table
        if table is None:
            raise DataError(f"{found.places}: is not a data set of examples")
        train = _items(files["train"].rows[: settings.train_examples or None], settings)
        reported = _items(files["dev"].rows, settings)
        splits = {"train": train, "dev": reported, "test": reported}
        if settings.choose_on == "inner-dev":
            splits["train"], splits["dev"] = _cut(train, settings.inner_dev, settings.inner_dev_seed)
        if "dev_mismatched" in files:
            splits["mismatched"] = _items(files["dev_mismatched"].rows, settings)
        if len(splits["train"]) < 2 or not splits["dev"] or len({item.label for item in splits["train"]}) < 2:
            raise DataError(
                f"{found.places}: train holds {len(splits['train'])} example(s) with "
                f"{len({item.label for item in splits['train']})} label(s), and {len(splits['dev'])} are left "
                "to select the epoch; expected at least two labels, and one example to select the epoch"
            )
        notes = [note for file in files.values() for note in file.notes]
        if settings.choose_on == "dev":
            notes.append("dev selected: the epoch was chosen on the examples that are reported")
        unlabelled = {}
        if settings.predict_test:
            unlabelled = {role: _items(files[role].rows, settings) for role in UNLABELLED if role in files}
        return cls(found.name, table, splits, tuple(notes), unlabelled)

    def looked_up(self, limit: int) -> set[str]:
        """Return the words whose pretrained vectors are needed: those of all splits.

        Args:
            limit: If not 0, only this many of the most frequent words of train.
        """
        if limit:
            return set(vocabulary(self.splits["train"], 1, limit))
        groups = (*self.splits.values(), *self.unlabelled.values())
        return {word for items in groups for item in items for word in (*item.first, *item.second)}


def vocabulary(items: Sequence[Tokenized], min_count: int, size: int) -> list[str]:
    """List the words that occur often enough, the most frequent first, and in alphabetical order among equals.

    Args:
        items: The training examples.
        min_count: Words with fewer occurrences are left out.
        size: Maximum number of words; 0 for all.
    """
    counts = Counter(word for item in items for text in (item.first, item.second) for word in text)
    kept = sorted(
        (word for word in counts if counts[word] >= min_count), key=lambda word: (-counts[word], word)
    )
    return kept[: size or None]


def _items(rows: Sequence[Example], settings: ClassificationSettings) -> list[Tokenized]:
    limit = settings.max_length
    return [
        Tokenized(
            tuple(words_of(row.first)[:limit]),
            tuple(words_of(row.second)[:limit]) if row.second else (),
            0.0 if row.label is None else row.label,
        )
        for row in rows
    ]


def _cut(items: list[Tokenized], share: float, seed: int) -> tuple[list[Tokenized], list[Tokenized]]:
    """Split off a random share of the examples; both parts keep the order of the file."""
    count = max(1, round(share * len(items)))
    held = set(random.Random(seed).sample(range(len(items)), min(count, len(items))))  # noqa: S311 - a seed
    kept = [item for index, item in enumerate(items) if index not in held]
    return kept, [item for index, item in enumerate(items) if index in held]

"""Which columns of a column file hold words and tags.

Few files say so: the first column is taken for the words and the last one for the tags. Here that guess is
checked against what the columns hold. Where it cannot be right, the message says why, and which column to name;
a column that was named is never questioned.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from cellzoo.errors import DataError
from cellzoo.system.lazy import lazy_property
from tasks.data.tags import OUTSIDE, is_of_spans, respell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

DOCUMENT_START = "-DOCSTART-"
_SAMPLE = 5_000
"""Lines by which columns are recognised."""
_MOSTLY = 0.95
"""Share of the cells of a column that are tags of spans in a column of such tags; some files have a header."""
_CLEARLY_MORE = 1.25
"""So many times as many different words make another column the one of the words; lemmas are fewer."""
_ENOUGH = 4
"""Fewer different words than this tell nothing."""
_BLANK = " \t"
_SPACES = re.compile(" +")
_TABS = re.compile("[ \t]*\t[ \t]*")
_DIGITS = re.compile("[0-9]{1,18}")
_NUMBER = re.compile("[0-9]{1,9}")
_CONLLU_COLUMNS, _CONLLU_TEXT, _CONLLU_TAG, _NOTHING = 10, 1, 3, "_"
_GERMEVAL_COLUMNS, _GERMEVAL_TEXT, _GERMEVAL_TAG = 4, 1, 2


class Layout(NamedTuple):
    """How the lines of a file are cut.

    Attributes:
        split: Cuts a line into its columns; none for a blank one.
        width: Columns of a token line.
        text: Column of the token, as it was named or guessed, perhaps negative or not there.
        tag: Column of the tag, likewise.
        is_conllu: Whether the file is in CoNLL-U.
        notes: What was recognised, a sentence each.
    """

    split: Callable[[str], list[str]]
    width: int
    text: int
    tag: int
    is_conllu: bool
    notes: tuple[str, ...]


def find_layout(lines: Sequence[str], name: str, text_column: int | None, tag_column: int | None) -> Layout:
    """Recognise the columns of a file, and check those that are not named.

    Args:
        lines: Of the file.
        name: The file, for messages.
        text_column: Column of the token, from 0, negative from the end; None if it is to be guessed.
        tag_column: Column of the tag, likewise.

    Raises:
        DataError: A guess would be wrong; the message says which column to name.
    """
    sample = lines[:_SAMPLE]
    split = _splitter(sample)
    count = _column_count(sample, split)
    if text_column is None and tag_column is None and count == _CONLLU_COLUMNS and _is_conllu(sample):
        return _conllu(sample, name)
    table = _Table(name, count, _sentences(sample, split, count))
    if text_column is None and tag_column is None and table.is_germeval():
        note = (
            f"{name}: has the columns of GermEval; words are those of column 1, tags those of column 2, the "
            "outer entities; --set text_column=1 --set tag_column=3 reads the inner ones"
        )
        return Layout(split, count, _GERMEVAL_TEXT, _GERMEVAL_TAG, is_conllu=False, notes=(note,))
    text = 0 if text_column is None else text_column
    tag = -1 if tag_column is None else tag_column
    notes: list[str] = []
    there = all(-count <= column < count for column in (text, tag))
    if there and text % count != tag % count and table.sentences:
        if text_column is None:
            table.require_words(text % count, tag % count)
        if tag_column is None:
            table.require_tags(text % count, tag % count)
            notes += table.other_tags(text % count, tag % count)
    return Layout(split, count, text, tag, is_conllu=False, notes=tuple(notes))


def _conllu(sample: Sequence[str], name: str) -> Layout:
    """Take the universal parts of speech of CoNLL-U, or those of the language if a treebank has no others."""
    rows = [row for line in sample if len(row := line.split("\t")) == _CONLLU_COLUMNS]
    empty = all(row[_CONLLU_TAG] == _NOTHING for row in rows)
    if empty and all(row[_CONLLU_TAG + 1] == _NOTHING for row in rows):
        raise DataError(
            f"{name}: is in CoNLL-U without parts of speech; name the column of the tags, from 0: "
            "--set text_column=1 --set tag_column=7"
        )
    which = "the parts of speech of their language" if empty else "universal parts of speech"
    note = f"{name}: is in CoNLL-U; words are tagged with {which}"
    tag = _CONLLU_TAG + 1 if empty else _CONLLU_TAG
    return Layout(_fields, _CONLLU_COLUMNS, _CONLLU_TEXT, tag, is_conllu=True, notes=(note,))


def trimmed(fields: list[str], count: int) -> list[str]:
    """Leave out empty columns at the end of a line that has too many: it ends in tabs."""
    return fields[:count] if len(fields) > count and not any(fields[count:]) else fields


def _fields(line: str) -> list[str]:
    """The columns of a line, each tab or run of spaces between two; none for a blank line."""
    if not line or line.isspace():
        return []
    if "\t" in line:
        fields = line.split("\t")
        return [field.strip(" ") for field in fields] if " " in line else fields
    return _SPACES.split(line.strip(" "))


def _aligned_fields(line: str) -> list[str]:
    """The same for files whose columns are aligned by any number of tabs."""
    return _TABS.split(line.strip(_BLANK)) if "\t" in line.strip(_BLANK) else _fields(line)


def _splitter(sample: Sequence[str]) -> Callable[[str], list[str]]:
    """Say whether several tabs in a row are one gap: where all lines have equally many columns only then."""
    if not any("\t\t" in line for line in sample):
        return _fields
    rows = [line for line in sample if _is_token_line(_fields(line), line)]
    as_they_are = {len(_stripped(_fields(line))) for line in rows}
    aligned = {len(_aligned_fields(line)) for line in rows}
    return _aligned_fields if len(as_they_are) > 1 and len(aligned) == 1 else _fields


def _is_token_line(fields: list[str], line: str) -> bool:
    return bool(fields) and fields[0] != DOCUMENT_START and not line.startswith("#")


def _stripped(fields: list[str]) -> list[str]:
    """Leave out empty columns at the end."""
    count = len(fields)
    while count and not fields[count - 1]:
        count -= 1
    return fields[:count]


def _column_count(sample: Sequence[str], split: Callable[[str], list[str]]) -> int:
    """How many columns most token lines at the start have, comments and document starts left out."""
    counts: Counter[int] = Counter()
    for line in sample:
        fields = split(line)
        if _is_token_line(fields, line):
            counts[len(_stripped(fields))] += 1
    return counts.most_common(1)[0][0] if counts else 2


def _is_conllu(sample: Sequence[str]) -> bool:
    numbers = [line.split("\t")[0].strip() for line in sample if "\t" in line and not line.startswith("#")]
    numbers = [number for number in numbers if number]
    return bool(numbers) and all(re.fullmatch(r"\d+([-.]\d+)?", number) for number in numbers)


class _Sentence(NamedTuple):
    """The token lines of a sentence: number of the first, and their columns."""

    number: int
    rows: list[list[str]]

    def column(self, column: int) -> list[str]:
        return [row[column] for row in self.rows]


def _sentences(sample: Sequence[str], split: Callable[[str], list[str]], count: int) -> list[_Sentence]:
    """The token lines that have as many columns as most; what may be a comment is left out."""
    sentences: list[_Sentence] = []
    inside = False
    for number, line in enumerate(sample, start=1):
        fields = trimmed(split(line), count)
        if not fields or fields[0] == DOCUMENT_START:
            inside = False
        elif len(fields) == count and (inside or not line.startswith("#")):
            if not inside:
                sentences.append(_Sentence(number, []))
            inside = True
            sentences[-1].rows.append(fields)
    return sentences


class _Table:
    """What the columns of a file hold, as far as its first lines tell."""

    def __init__(self, name: str, count: int, sentences: list[_Sentence]) -> None:
        self.name = name
        self.count = count
        self.sentences = sentences

    @lazy_property
    def _values(self) -> list[Counter[str]]:
        """How often each value occurs, for each column."""
        return [
            Counter(cell for sentence in self.sentences for cell in sentence.column(column))
            for column in range(self.count)
        ]

    @lazy_property
    def _of_spans(self) -> list[bool]:
        """Whether a column holds tags of spans; `O` alone is none."""
        return [_are_of_spans(values) for values in self._values]

    def is_germeval(self) -> bool:
        """Whether columns are a number, a word, outer and inner entities (Benikova et al. 2014)."""
        return (
            self.count == _GERMEVAL_COLUMNS
            and all(_counts(sentence.column(0), 1) for sentence in self.sentences)
            and self._of_spans[_GERMEVAL_TAG]
            and not self._of_spans[_GERMEVAL_TEXT]
            and (self._of_spans[3] or self._values[3].keys() == {OUTSIDE})
        )

    def require_words(self, text: int, tag: int) -> None:
        """Refuse a first column without words.

        Raises:
            DataError: It counts, names sentences or documents, holds tags, or another column has clearly more
                words.
        """
        what = self._why_no_words(text, tag)
        if not what:
            return
        others = [column for column in range(self.count) if column != text and not self._of_spans[column]]
        best = max(others, key=lambda column: (self._texts(column), -column), default=None)
        if best is None:
            advice = "There is no other column that could; put the words first"
        else:
            tags = [column for column in range(self.count) if self._of_spans[column] and column != best]
            shown = tag if tag != best else (tags[-1] if tags else text)
            advice = (
                f"Name the column that does, from 0: --set text_column={best}; the last column is read as the "
                f"tag unless another is named: --set tag_column={shown}"
            )
        raise DataError(
            f"{self.name}:{self.sentences[0].number}: the first column {what}, so it does not hold the words. "
            f"{advice}"
        )

    def _why_no_words(self, text: int, tag: int) -> str:
        longer = [sentence.column(text) for sentence in self.sentences if len(sentence.rows) > 1]
        cells = [sentence.column(text) for sentence in self.sentences]
        first = cells[0][0]
        if longer and all(map(_counts, cells)):
            return f"counts the tokens of each sentence ({int(first)}, {int(first) + 1}, ...)"
        if len(longer) > 1 and all(len(set(one)) == 1 and _NUMBER.fullmatch(one[0]) for one in cells):
            return f"is the same number on every line of a sentence ({longer[0][0]}, {longer[0][0]}, ...)"
        if self._of_spans[text]:
            tag_shown = next(value for value in self._values[text] if value != OUTSIDE)
            return f"holds tags such as {tag_shown!r:.40}"
        if self.count == 2 and self._of_spans[tag]:
            return ""
        if self.count > 2:
            if longer and all(map(_rises, cells)):
                return f"numbers the tokens ({longer[0][0]!r:.40}, {longer[0][1]!r:.40}, ...)"
            if len(longer) > 1 and all(len(set(one)) == 1 for one in longer):
                return f"is the same on every line of a sentence ({longer[0][0]!r:.40})"
            if len(longer) > 1 and self._repeats_by_position(text):
                return f"is the same in every sentence ({longer[0][0]!r:.40}, {longer[0][1]!r:.40}, ...)"
        words = len(self._words(text))
        for column in range(self.count):
            more = len(self._words(column))
            if column == text or self._of_spans[column] or more < _ENOUGH:
                continue
            if more > _CLEARLY_MORE * words + 1:
                return f"has {words:,} different words, column {column} has {more:,}"
        return ""

    def _repeats_by_position(self, text: int) -> bool:
        """Whether a value depends on the position in the sentence alone, while sentences differ."""
        longest = max((sentence.column(text) for sentence in self.sentences), key=len)
        if any(sentence.column(text) != longest[: len(sentence.rows)] for sentence in self.sentences):
            return False
        rests = {tuple(map(tuple, (row[:text] + row[text + 1 :] for row in s.rows))) for s in self.sentences}
        return len(rests) > 1

    def _words(self, column: int) -> set[str]:
        """Different values with letters and without digits."""
        return {
            value
            for value in self._values[column]
            if any(map(str.isalpha, value)) and not any(map(str.isdigit, value))
        }

    def _texts(self, column: int) -> int:
        """How many different values have letters."""
        return sum(any(map(str.isalpha, value)) for value in self._values[column])

    def require_tags(self, text: int, tag: int) -> None:
        """Refuse a last column without tags.

        Raises:
            DataError: Another column holds tags of spans, or this one counts or is the same throughout.
        """
        if self._of_spans[tag]:
            return
        others = [column for column in range(self.count) if self._of_spans[column] and column != text]
        values = self._values[tag]
        cells = [sentence.column(tag) for sentence in self.sentences]
        longer = any(len(one) > 1 for one in cells)
        shown = next(iter(values))
        if values.keys() == {OUTSIDE}:
            return
        if others:
            what = f"holds values such as {shown!r:.40}, while column {others[-1]} holds tags of spans"
        elif longer and (all(map(_counts, cells)) or all(map(_rises, cells))):
            what = f"numbers the tokens ({cells[0][0]!r:.40}, ...)"
        elif len(values) == 1 and not any(map(str.isalnum, shown)):
            what = f"is {shown!r:.40} on every line"
        else:
            return
        best = others[-1] if others else next((c for c in range(1, self.count - 1) if c != text), tag)
        raise DataError(
            f"{self.name}:{self.sentences[0].number}: the last column {what}, so it does not hold the tags. "
            f"Name the column that does, from 0: --set tag_column={best}"
        )

    def other_tags(self, text: int, tag: int) -> Iterable[str]:
        """Say which columns beside the last one hold tags of spans."""
        others = [c for c in range(self.count) if self._of_spans[c] and c not in (text, tag)]
        if others:
            where = ", ".join(map(str, others))
            yield (
                f"{self.name}: tags are those of the last column, {tag}; tags of spans are also in column "
                f"{where}: --set tag_column={others[-1]} reads them"
            )


def _are_of_spans(values: Counter[str]) -> bool:
    if values.keys() <= {OUTSIDE}:
        return False
    if respell(values.keys()):
        return True
    share = sum(values[value] for value in values if is_of_spans(value) or value == OUTSIDE) / values.total()
    return share >= _MOSTLY and any(is_of_spans(value) for value in values)


def _counts(cells: list[str], start: int | None = None) -> bool:
    """Whether cells are consecutive numbers; they may start anywhere, as a column may count on."""
    if not _NUMBER.fullmatch(cells[0]):
        return False
    first = int(cells[0]) if start is None else start
    return all(cell == str(first + position) for position, cell in enumerate(cells))


def _rises(cells: list[str]) -> bool:
    """Whether cells differ by numbers alone, which rise: `003`, `t1`, `s4-2`, `17:21`."""
    if len({_DIGITS.sub("0", cell) for cell in cells}) > 1 or not _DIGITS.search(cells[0]):
        return False
    numbers = [tuple(map(int, _DIGITS.findall(cell))) for cell in cells]
    return all(before < after for before, after in pairwise(numbers))

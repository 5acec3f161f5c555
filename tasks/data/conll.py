"""Sentences with one tag a token, in column files (CoNLL format).

One token a line, columns separated by one tab or by spaces, sentences separated by lines that are empty or
hold only tabs and spaces (the WNUT-17 training file uses both). Recognised and left out: `-DOCSTART-` lines,
and comment lines (`#` at the start of a sentence, without the columns of a token line, or with a last column
that is the tag of no other line). CoNLL-U is recognised by its ten columns: words in the second, universal
parts of speech in the fourth, ranges (`1-2`) and empty nodes (`1.1`) left out.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from cellzoo.errors import DataError
from tasks.data.columns import DOCUMENT_START, find_layout, trimmed
from tasks.data.tags import OUTSIDE, Scheme, detect_scheme, is_of_spans, read_spans, respell, write_iob2

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tasks.data.columns import Layout
    from tasks.data.parts import Part
    from tasks.data.tags import Span

Tolerance: TypeAlias = Literal["repair", "strict"]
Comments: TypeAlias = Literal["detect", "all", "none"]

_MOSTLY = 0.5
_MOST_WITH_SPACES = 0.05
"""Share of tokens with a space in them above which a file has other columns than it seems."""
_CONLLU_LEFT_OUT = re.compile(r"\d+[-.]\d+")


@dataclass(frozen=True, slots=True)
class TaggedSentence:
    """A sentence.

    Attributes:
        tokens: The words, as in the file.
        tags: One IOB2 tag for each token; for a corpus whose tags label single tokens, those.
    """

    tokens: tuple[str, ...]
    tags: tuple[str, ...]

    @property
    def spans(self) -> list[Span]:
        """The spans of a sentence tagged in IOB2, from left to right."""
        return read_spans(self.tags, "IOB2")[0]


@dataclass(frozen=True)
class Reading:
    """How a column file is to be read.

    Attributes:
        text_column: Column of the token, from 0, negative from the end; None takes the first one and refuses
            it where it does not hold words (`tasks.data.columns`).
        tag_column: Column of the tag, likewise; None takes the last one and refuses it where it does not hold
            tags.
        tags: `repair` reads a tag that its scheme does not allow as conlleval does, and counts it; `strict`
            refuses it, and any scheme but IOB2 and IOB1.
        encoding: Of the file.
        scheme: In which the tags are written; None recognises it.
        comments: Which lines with `#` at the start of a sentence are comments: `detect` recognises them.
    """

    text_column: int | None = None
    tag_column: int | None = None
    tags: Tolerance = "repair"
    encoding: str = "utf-8"
    scheme: Scheme | None = None
    comments: Comments = "detect"


@dataclass(frozen=True)
class TaggedText:
    """What a column file holds.

    Attributes:
        sentences: In the order of the file.
        scheme: In which its tags are written; `tokens` where they label single tokens.
        notes: What was recognised or repaired, a sentence each.
    """

    sentences: Sequence[TaggedSentence]
    scheme: Scheme
    notes: tuple[str, ...] = field(default=())


class _Raw(NamedTuple):
    """A sentence as it is in the file: line number, token and tag of each word."""

    numbers: list[int]
    tokens: list[str]
    tags: list[str]

    def word(self, position: int) -> str:
        """A word with its place, for messages."""
        return (
            f"{self.numbers[position]}: tag {self.tags[position]!r:.60} of token {self.tokens[position]!r:.60}"
        )


def read_conll(part: Part, reading: Reading = Reading()) -> TaggedText:
    """Read a column file.

    Raises:
        DataError: The file cannot be read, is empty, has lines of different columns, a column that is not
            there, tags that are neither of spans nor of tokens, or, if `strict`, a tag that its scheme does
            not allow. The message names file, line, value, and what would be right.
    """
    return parse_conll(part.lines(reading.encoding), str(part), reading)


def parse_conll(lines: Sequence[str], name: str, reading: Reading = Reading()) -> TaggedText:
    """Parse the lines of a column file; `name` stands for the file in messages. See `read_conll`."""
    raw, notes = _sentences(lines, name, reading)
    if not raw:
        raise DataError(
            f"{name}: holds no sentence; a token line needs a token and a tag, such as 'Paris<tab>B-location'"
        )
    if reading.scheme is None and reading.tags == "repair":
        raw, spelt = _respelt(raw, name)
        notes += spelt
    scheme = reading.scheme or detect_scheme(sentence.tags for sentence in raw)
    if reading.scheme is not None:
        _require_scheme(raw, name, reading.scheme)
    if scheme == "tokens":
        if reading.scheme is None:
            _require_token_tags(raw, name, reading)
        notes.append(f"{name}: its tags label single tokens")
        plain = [TaggedSentence(tuple(sentence.tokens), tuple(sentence.tags)) for sentence in raw]
        return TaggedText(plain, scheme, tuple(notes))
    if reading.tags == "strict" and scheme not in ("IOB1", "IOB2"):
        raise DataError(
            f"{name}: its tags are written in {scheme}; tags = strict reads IOB2 and IOB1 alone. Convert them "
            "to IOB2 "
            "(B- for the first token of a span, such as S-, U- and B- mark it; I- for the others, such as E-, "
            "L-, M- "
            "and I-), or leave tags = repair"
        )
    sentences: list[TaggedSentence] = []
    repaired: list[str] = []
    for sentence in raw:
        spans, repairs = read_spans(sentence.tags, scheme)
        if repairs or scheme != "IOB2":
            tags = write_iob2(len(sentence.tags), spans)
            repaired += [f"{name}:{sentence.word(repair.position)} {repair.fault}" for repair in repairs]
        else:
            tags = tuple(sentence.tags)
        sentences.append(TaggedSentence(tuple(sentence.tokens), tags))
    if repaired:
        if reading.tags == "strict":
            raise DataError(repaired[0])
        notes.append(f"{len(repaired):,} tag(s) read as conlleval reads them; the first: {repaired[0]}")
    if scheme != "IOB2":
        notes.append(f"{name}: its tags are written in {scheme}")
    return TaggedText(sentences, scheme, tuple(notes))


def _respelt(raw: list[_Raw], name: str) -> tuple[list[_Raw], list[str]]:
    """Spell tags as `B-type`, and say so."""
    spelt = respell({tag for sentence in raw for tag in sentence.tags})
    if not spelt:
        return raw, []
    example = max(spelt, key=lambda tag: (spelt[tag] != tag, spelt[tag].startswith("B"), tag))
    note = f"{name}: tags such as {example!r:.60} are read as {spelt[example]!r:.60}"
    return [one._replace(tags=[spelt[tag] for tag in one.tags]) for one in raw], [note]


def _sentences(lines: Sequence[str], name: str, reading: Reading) -> tuple[list[_Raw], list[str]]:
    """Cut lines into sentences of tokens and tags."""
    layout = find_layout(lines, name, reading.text_column, reading.tag_column)
    notes = list(layout.notes)
    columns = _Columns(name, layout)
    sentences: list[_Raw] = []
    current = _Raw([], [], [])
    comments = 0
    tags = _LazyTags(lines, layout)
    shared: dict[str, str] = {}  # one object for all equal tokens and tags
    for number, line in enumerate(lines, start=1):
        fields = layout.split(line)
        if not fields or fields[0] == DOCUMENT_START:
            if current.tokens:
                sentences.append(current)
                current = _Raw([], [], [])
            continue
        if (
            line.startswith("#")
            and not current.tokens
            and reading.comments != "none"
            and (reading.comments == "all" or _is_comment(fields, layout.width, tags))
        ):
            comments += 1
            continue
        if layout.is_conllu and _CONLLU_LEFT_OUT.fullmatch(fields[0]):
            continue
        token, tag = columns.read(number, trimmed(fields, layout.width), line)
        current.numbers.append(number)
        current.tokens.append(shared.setdefault(token, token))
        current.tags.append(shared.setdefault(tag, tag))
    if current.tokens:
        sentences.append(current)
    if comments:
        notes.append(f"{name}: {comments:,} comment line(s) left out")
    notes += columns.about_spaces(sum(len(sentence.tokens) for sentence in sentences))
    return sentences, notes


class _LazyTags:
    """The tags of all lines that cannot be comments; collected when first asked for: few files have them."""

    def __init__(self, lines: Sequence[str], layout: Layout) -> None:
        self._lines = lines
        self._split: Callable[[str], list[str]] = layout.split
        self._column = layout.tag
        self._tags: set[str] | None = None

    def __contains__(self, tag: str) -> bool:
        if self._tags is None:
            self._tags = set()
            inside = False  # whether a token of the sentence has gone before
            for line in self._lines:
                row = self._split(line)
                if row and (inside or not line.startswith("#")):
                    inside = True
                    if -len(row) <= self._column < len(row):
                        self._tags.add(row[self._column])
                elif not row:
                    inside = False
        return tag in self._tags

    def of(self, fields: list[str]) -> str | None:
        """The tag in the columns of a line, if it has that column."""
        return fields[self._column] if -len(fields) <= self._column < len(fields) else None


def _is_comment(fields: list[str], count: int, tags: _LazyTags) -> bool:
    """Whether a line that starts a sentence with `#` is a comment: `# doc` has the two columns of `# O`."""
    if len(fields) != count:
        return True
    tag = tags.of(fields)
    return tag not in (None, OUTSIDE) and not is_of_spans(tag) and tag not in tags


class _Columns:
    """Takes the token and the tag out of the columns of a line, of which all lines have equally many."""

    def __init__(self, name: str, layout: Layout) -> None:
        self._name = name
        self._count = layout.width
        self._text = layout.text
        self._tag = layout.tag
        self._first = 0
        # In CoNLL-U a word may have spaces, as many in Vietnamese have; elsewhere they are counted.
        self._counts_spaces = not layout.is_conllu
        self._spaced: list[str] = []

    def read(self, number: int, fields: list[str], line: str) -> tuple[str, str]:
        if not self._first:
            self._require_both(number, line)
            self._first = number
        if len(fields) != self._count:
            raise DataError(
                f"{self._name}:{number}: {_plural(len(fields), 'column')} in {line[:60]!r}, but most lines "
                "have "
                f"{self._count}; every token line needs the same columns, separated by one tab or by spaces"
            )
        token, tag = fields[self._text], fields[self._tag]
        if not token:
            raise DataError(f"{self._name}:{number}: the token is empty (line {line[:60]!r})")
        if "\0" in line:
            raise DataError(
                f"{self._name}:{number}: NUL stands in {line[:60]!r}, which no text has; the file is damaged"
            )
        if " " in token and self._counts_spaces:
            self._spaced.append(
                f"{number}: the token is {token!r:.60}, with a space in it (line {line[:60]!r})"
            )
        if not tag:
            raise DataError(
                f"{self._name}:{number}: the tag of token {token!r:.60} is empty (line {line[:60]!r})"
            )
        return token, tag

    def about_spaces(self, tokens: int) -> list[str]:
        """Say how many of all tokens have a space in them; empty if none has.

        Raises:
            DataError: More have than the words of a language that has such words.
        """
        if not self._spaced:
            return []
        first = f"{self._name}:{self._spaced[0]}"
        if len(self._spaced) > _MOST_WITH_SPACES * tokens:
            raise DataError(
                f"{first}; {len(self._spaced):,} of {tokens:,} have one. Columns are separated by one tab or "
                "by spaces, not by both"
            )
        return [f"{len(self._spaced):,} token(s) have a space in them; the first: {first}"]

    def _require_both(self, number: int, line: str) -> None:
        count = self._count
        for what, column in (("text_column", self._text), ("tag_column", self._tag)):
            if not -count <= column < count:
                raise DataError(
                    f"{self._name}:{number}: {_plural(count, 'column')} in {line[:60]!r}; {what} is {column}; "
                    "a token line needs a token and a tag, separated by one tab or by spaces, such as "
                    "'Paris<tab>B-location'"
                )
        if self._text % count == self._tag % count:
            raise DataError(
                f"{self._name}:{number}: {_plural(count, 'column')} in {line[:60]!r}; token and tag are both "
                "taken from "
                f"column {self._text % count}. A token line needs a token and a tag, separated by one tab or "
                "by spaces, "
                "such as 'Paris<tab>B-location'"
            )


def _require_token_tags(sentences: Sequence[_Raw], name: str, reading: Reading) -> None:
    """Refuse a mixture of tags of spans and others: some lines then are not what they seem."""
    counts = Counter(tag for sentence in sentences for tag in sentence.tags)
    of_spans = set(filter(is_of_spans, counts))
    if not of_spans:
        return
    share = sum(counts[tag] for tag in {*of_spans, OUTSIDE}) / counts.total()
    if share >= _MOSTLY or reading.tags == "strict":
        place = next(
            sentence.word(position)
            for sentence in sentences
            for position, tag in enumerate(sentence.tags)
            if tag != OUTSIDE and tag not in of_spans
        )
        raise DataError(
            f"{name}:{place} is not a tag of spans, as others are ({min(of_spans)!r}); allowed are O, B-type "
            "and I-type "
            "(also E-, S-, M-, L-, U-)"
        )


_PREFIXES = {"IOB1": "BI", "IOB2": "BI", "BIOES": "BIMESW", "BILOU": "BILU"}


def _require_scheme(sentences: Sequence[_Raw], name: str, scheme: Scheme) -> None:
    """Refuse a tag that cannot be one of the scheme that was named."""
    if scheme == "tokens":
        for sentence in sentences:
            for position, tag in enumerate(sentence.tags):
                if tag.startswith("B-"):  # by which Flair takes all tags for those of spans
                    raise DataError(
                        f"{name}:{sentence.word(position)} is one of spans, and scheme = tokens asks for tags "
                        "of single tokens; leave `scheme` out, or name another column: --set tag_column=1"
                    )
    if scheme not in _PREFIXES:
        return
    allowed = re.compile(f"{OUTSIDE}|[{_PREFIXES[scheme]}]-.+", re.DOTALL)
    for sentence in sentences:
        for position, tag in enumerate(sentence.tags):
            if not allowed.fullmatch(tag):
                letters = ", ".join(f"{letter}-type" for letter in _PREFIXES[scheme])
                raise DataError(
                    f"{name}:{sentence.word(position)} is not a tag of {scheme}, which scheme = {scheme} asks "
                    f"for; allowed are {OUTSIDE}, {letters}. Leave `scheme` out to have it recognised"
                )


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"

r"""Sentences with one tag a token, in column files (CoNLL format, IOB2).

One token a line, columns separated by one tab or by spaces, sentences separated by lines that are empty
or hold only tabs and spaces (the WNUT-17 training file uses both). Lines end in `\n`, text is UTF-8
without a byte order mark.

IOB2: the first token of an entity is tagged `B-type`, each further one `I-type`, all others `O`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellzoo.errors import DataError
from tasks.data.text_file import BYTE_ORDER_MARK, read_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_BLANK = " \t"
_SPACES = re.compile(" +")


@dataclass(frozen=True, slots=True)
class TaggedSentence:
    """A sentence.

    Attributes:
        tokens: The words, as in the file.
        tags: One IOB2 tag for each token.
    """

    tokens: tuple[str, ...]
    tags: tuple[str, ...]


def read_conll(
    path: Path,
    *,
    text_column: int = 0,
    tag_column: int = -1,
    types: frozenset[str] | None = None,
) -> list[TaggedSentence]:
    """Read a column file, strictly.

    Args:
        path: The file.
        text_column: Column of the token, counted from 0; negative from the end.
        tag_column: Column of the tag, likewise.
        types: The entity types that may occur; None allows any.

    Returns:
        The sentences in the order of the file.

    Raises:
        DataError: The file cannot be read, has a byte order mark or `CRLF` line ends, is empty, or has a
            line with a missing or surplus column or a tag that IOB2 does not allow there. The message
            names file, line, value, and what would be right.
    """
    return parse_conll(read_text(path), str(path), text_column=text_column, tag_column=tag_column, types=types)


def parse_conll(
    text: str,
    name: str,
    *,
    text_column: int = 0,
    tag_column: int = -1,
    types: frozenset[str] | None = None,
) -> list[TaggedSentence]:
    """Parse the content of a column file; `name` stands for the file in messages. See `read_conll`."""
    if text.startswith(BYTE_ORDER_MARK):
        raise DataError(
            f"{name}:1: begins with a byte order mark (U+FEFF); save the file as UTF-8 without it, "
            "as with: sed -i '1s/^\\xEF\\xBB\\xBF//' FILE"
        )
    columns = _Columns(name, text_column, tag_column)
    legal: set[tuple[str, str]] = set()
    shared: dict[str, str] = {}  # one object for all equal tokens and tags
    sentences: list[TaggedSentence] = []
    tokens: list[str] = []
    tags: list[str] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if "\r" in line:
            raise DataError(
                f"{name}:{number}: holds a carriage return ({line[-24:]!r}); lines must end in '\\n' alone, "
                "as after: sed -i 's/\\r$//' FILE"
            )
        if not line.strip(_BLANK):
            if tokens:
                sentences.append(TaggedSentence(tuple(tokens), tuple(tags)))
                tokens, tags = [], []
            continue
        token, tag = columns.read(number, line)
        step = (tags[-1] if tags else "O", tag)
        if step not in legal:
            fault = _fault(*step, types)
            if fault:
                raise DataError(f"{name}:{number}: tag {tag!r} of token {token!r}: {fault}")
            legal.add(step)
        tokens.append(shared.setdefault(token, token))
        tags.append(shared.setdefault(tag, tag))
    if tokens:
        sentences.append(TaggedSentence(tuple(tokens), tuple(tags)))
    return sentences


class _Columns:
    """Cuts lines into columns and sees to it that all lines have as many as the first one."""

    def __init__(self, name: str, text_column: int, tag_column: int) -> None:
        self._name = name
        self._text = text_column
        self._tag = tag_column
        self._count = 0
        self._first = 0

    def read(self, number: int, line: str) -> tuple[str, str]:
        """Return the token and the tag of a line."""
        fields = line.split("\t") if "\t" in line else _SPACES.split(line.rstrip(" "))
        if not self._count:
            self._require_both(number, line, len(fields))
            self._count = len(fields)
            self._first = number
        if len(fields) != self._count:
            raise DataError(
                f"{self._name}:{number}: {_plural(len(fields), 'column')} in {line[:60]!r}, "
                f"but line {self._first} has {self._count}; every token line needs the same columns, "
                "separated by one tab or by spaces"
            )
        token, tag = fields[self._text], fields[self._tag]
        if not token or " " in token:
            state = "is empty" if not token else f"is {token!r}, with a space in it"
            raise DataError(f"{self._name}:{number}: the token {state} (line {line[:60]!r})")
        return token, tag

    def _require_both(self, number: int, line: str, count: int) -> None:
        needed = max(column + 1 if column >= 0 else -column for column in (self._text, self._tag))
        same = count and self._text % count == self._tag % count
        if count < needed or same:
            raise DataError(
                f"{self._name}:{number}: {_plural(count, 'column')} in {line[:60]!r}; a token line needs "
                "a token and a tag, separated by one tab or by spaces, such as 'Paris<tab>B-location'"
            )


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _fault(previous: str, tag: str, types: frozenset[str] | None) -> str:
    """Say what is wrong with `tag` after `previous` ("O" at a sentence start), or nothing."""
    if tag == "O":
        return ""
    prefix, dash, kind = tag.partition("-")
    if prefix not in {"B", "I"} or not dash or not kind:
        return "is no IOB2 tag; allowed are O, B-type and I-type"
    if types is not None and kind not in types:
        return f"unknown entity type {kind!r}; known are {', '.join(sorted(types))}"
    if prefix == "I" and previous not in {f"B-{kind}", f"I-{kind}"}:
        return f"stands after {previous!r} or at a sentence start; an entity begins with 'B-{kind}' (IOB2)"
    return ""


def spans(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    """List the entities of a sentence.

    Args:
        tags: Legal IOB2 tags.

    Returns:
        (start, end, type) of each entity, `end` exclusive, from left to right.

    Raises:
        ValueError: A tag that IOB2 does not allow where it stands.
    """
    found: list[tuple[int, int, str]] = []
    start, kind, previous = 0, "", "O"
    for position, tag in enumerate(tags):
        fault = _fault(previous, tag, None)
        if fault:
            raise ValueError(f"tag {tag!r} at {position}: {fault}")
        if kind and not tag.startswith("I-"):
            found.append((start, position, kind))
            kind = ""
        if tag.startswith("B-"):
            start, kind = position, tag[2:]
        previous = tag
    if kind:
        found.append((start, len(tags), kind))
    return found


def tags_of(length: int, entities: Iterable[tuple[int, int, str]]) -> tuple[str, ...]:
    """Write entities as IOB2 tags; the inverse of `spans`.

    Args:
        length: Tokens in the sentence.
        entities: (start, end, type) with `end` exclusive, in any order.

    Raises:
        ValueError: An entity that is empty, has no type, leaves the sentence, or overlaps another.
    """
    tags = ["O"] * length
    for start, end, kind in entities:
        if not kind or not 0 <= start < end <= length:
            raise ValueError(f"no entity of a sentence of {length} tokens: {(start, end, kind)}")
        if any(tag != "O" for tag in tags[start:end]):
            raise ValueError(f"entity {(start, end, kind)} overlaps another")
        tags[start:end] = [f"B-{kind}"] + [f"I-{kind}"] * (end - start - 1)
    return tuple(tags)

"""Finds a genotype within other data: assignments, logs, records, text within text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_TOKEN = re.compile(r"""[\[\](){}]|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*\"""")
_CLOSES = {"(": ")", "[": "]", "{": "}"}
_MOST_PLACES = 100
# Characters of a JSON text; a log may be long, and JSON is parsed quickly.
MAX_JSON = 2_000_000
_DEEPEST = 8
UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)


class Finder:
    """Searches for mappings of one kind.

    Args:
        is_meant: Whether a mapping is of this kind.
        read: Parses a text that is one expression; raises the errors in `UNREADABLE`.
        starts: Matches the beginning of such a mapping in a text, including its opening bracket.
        by_position: Converts a list of positional arguments to a mapping; None for other lists.

    Attributes:
        errors: Errors of candidates in texts that could not be parsed, in their order.
    """

    def __init__(
        self,
        is_meant: Callable[[Mapping[str, Any]], bool],
        read: Callable[[str], Any],
        starts: re.Pattern[str],
        by_position: Callable[[list[Any]], Mapping[str, Any] | None] = lambda _: None,
    ) -> None:
        self._is_meant = is_meant
        self._read = read
        self._starts = starts
        self._by_position = by_position
        self.errors: list[BaseException] = []

    def find(self, content: Any) -> list[Mapping[str, Any]]:
        """All such mappings in plain data, in texts within it, and in data within those; without duplicates."""
        found: list[Mapping[str, Any]] = []
        for mapping in self._mappings(content, 0):
            if mapping not in found:
                found.append(mapping)
        return found

    def _mappings(self, content: Any, depth: int) -> Iterator[Mapping[str, Any]]:
        if depth > _DEEPEST:
            return
        if isinstance(content, Mapping):
            if self._is_meant(content):
                yield content
                return
            content = list(content.values())
        elif isinstance(content, list) and (record := self._by_position(content)) is not None:
            yield record
            return
        if isinstance(content, list):
            for item in content:
                if isinstance(item, Mapping | list | str):
                    yield from self._mappings(item, depth + 1)
        if isinstance(content, str):
            yield from self._in_text(content, depth)

    def _in_text(self, text: str, depth: int) -> Iterator[Mapping[str, Any]]:
        if not self._starts.search(text):
            return
        try:
            value = self._read(text)
        except UNREADABLE:
            yield from self._in_parts(text, depth)
            return
        if value != text:
            yield from self._mappings(value, depth + 1)

    def _in_parts(self, text: str, depth: int) -> Iterator[Mapping[str, Any]]:
        place = 0
        for _ in range(_MOST_PLACES):
            start = self._starts.search(text, place)
            if start is None:
                return
            place = start.end()
            end = _closing(text, start.end() - 1)
            if end is None:
                continue
            part = text[start.start() : end]
            try:
                found = list(self._mappings(self._read(part), depth + 1))
            except UNREADABLE as error:
                self.errors.append(error)
                continue
            if found:
                yield from found
                place = end


def read_json(text: str) -> Any:
    """Read JSON.

    Raises:
        ValueError: It is not JSON, or a key is repeated.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(pairs)
        if len(content) < len(pairs):
            twice = next(key for key, _ in pairs if sum(other == key for other, _ in pairs) > 1)
            raise ValueError(f"the key {twice!r:.80} is repeated")
        return content

    return json.loads(text, object_pairs_hook=once)


def _closing(text: str, place: int) -> int | None:
    """The position after the bracket that closes the one at `place`; None if it is not closed."""
    waiting: list[str] = []
    for token in _TOKEN.finditer(text, place):
        bracket = token.group()
        if bracket in _CLOSES:
            waiting.append(_CLOSES[bracket])
        elif bracket in (")", "]", "}"):
            if waiting.pop() != bracket:
                return None
            if not waiting:
                return token.end()
    return None

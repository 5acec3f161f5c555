"""Finds a text of several lines within other data: JSON, source code, Markdown."""

from __future__ import annotations

import ast
import re
import warnings
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from cellzoo.errors import CellzooError, NotationError
from cellzoo.notations.plain import plain

if TYPE_CHECKING:
    from collections.abc import Callable

_LONG = r'"{3}(?:[^\\]|\\.)*?"{3}|' + r"'{3}(?:[^\\]|\\.)*?'{3}"
_LITERAL = re.compile(_LONG + r'|"(?:[^"\\\n]|\\.)*"|' + r"'(?:[^'\\\n]|\\.)*'", re.DOTALL)
_FENCED = re.compile(r"^ *```[^\n]*\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
_NAME = re.compile(r"[A-Za-z_]\w*'?", re.ASCII)
_DEEPEST = 8
_MOST = 200
Read = TypeVar("Read")


def read_within(source: Any, read: Callable[[str], Read], *, label: str, example: str, largest: int) -> Read:
    """Read a text, or the only readable text within data or within another text.

    Args:
        source: The text, its lines, a dict of left-hand to right-hand sides, or data that contains one of them.
        read: Parses a text.
        label: The beginning of error messages.
        example: A text, for error messages.
        largest: Characters of the longest text that is searched.

    Raises:
        NotationError: No text can be read, or several that differ.
        CellError: The source itself reads as a graph that is not a valid cell.
    """
    content = plain(source)
    whole = _as_lines(content)
    if whole is not None:
        try:
            return read(whole)
        except CellzooError as error:
            fault = error
    else:
        fault = NotationError(f"{label}: expected text such as {example}, found {type(source).__name__}")
    search = _Search(read, largest)
    search.below(content, 0)
    if len(search.found) == 1:
        return search.found[0]
    if search.found:
        count = len(search.found)
        raise NotationError(f"{label}: found {count} that differ; give the lines of one of them alone")
    if search.looked and isinstance(fault, NotationError):
        raise NotationError(f"{fault}; give the lines alone, without other text around them") from fault
    raise fault


class _Search(Generic[Read]):
    """Searches data for readable texts; an outer text is tried before the texts within it.

    Attributes:
        found: The results, without duplicates.
        looked: The number of texts that were tried.
    """

    def __init__(self, read: Callable[[str], Read], largest: int) -> None:
        self._read = read
        self._largest = largest
        self.found: list[Read] = []
        self.looked = 0

    def below(self, content: Any, depth: int) -> None:
        """Search the items of data, or the literals and code blocks of a text."""
        if depth >= _DEEPEST:
            return
        if isinstance(content, dict | list):
            for item in content.values() if isinstance(content, dict) else content:
                self._at(item, depth + 1)
        if not isinstance(content, str) or len(content) > self._largest:
            return
        for block in _FENCED.findall(content):
            self._at(block, depth + 1)
        value = _literal(content)
        if value is not None:
            self._at(value, depth + 1)
            return
        for literal in _LITERAL.finditer(content):
            self._at(_literal(literal.group()), depth + 1)

    def _at(self, content: Any, depth: int) -> None:
        if self.looked >= _MOST:
            return
        if (text := _as_lines(content)) is not None:
            self.looked += 1
            try:
                value = self._read(text)
            except CellzooError:
                pass
            else:
                if value not in self.found:
                    self.found.append(value)
                return
        self.below(content, depth)


def _as_lines(content: Any) -> str | None:
    """A text, lines, or a dict of left-hand to right-hand sides as one text; None for other data."""
    if isinstance(content, str):
        return content
    if isinstance(content, dict) and content:
        named = [
            (name, text) for name, text in content.items() if isinstance(name, str) and _NAME.fullmatch(name)
        ]
        if len(named) == len(content) and all(isinstance(text, str) for _, text in named):
            return "\n".join(f"{name} = {text}" for name, text in named)
    if isinstance(content, list) and content and all(isinstance(line, str) for line in content):
        return "\n".join(content)
    return None


def _literal(text: str) -> Any:
    """The value of a Python literal; None if the text is not one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return plain(ast.literal_eval(text.strip()))
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None

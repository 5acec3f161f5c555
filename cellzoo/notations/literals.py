"""Reads texts such as `Genotype(recurrent=[('relu', 0)], concat=range(1, 9))` as plain data.

The same content may be given as a dict literal, as JSON, or as Python data. Nothing is evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cellzoo.errors import NotationError, unknown
from cellzoo.notations.expressions import read_expression
from cellzoo.notations.finding import MAX_JSON, UNREADABLE, Finder, read_json
from cellzoo.notations.plain import plain
from cellzoo.system.lazy import lazy_property
from cellzoo.system.text import shortened

MAX_TEXT = 20_000


@dataclass(frozen=True)
class Form:
    """The textual form of a notation.

    Attributes:
        label: The beginning of its error messages.
        call: The class name before the parenthesis; empty for a notation without one.
        example: An abbreviated text, for error messages.
        required: The names of required parts.
        optional: The optional parts with their default values.
    """

    label: str
    call: str
    example: str
    required: tuple[str, ...]
    optional: Mapping[str, Any]

    def read(self, source: object) -> dict[str, Any]:
        """Read the parts from text or data.

        Raises:
            NotationError: The source is too long, malformed, lacks a part, or has an unknown one.
        """
        content = self._content(plain(source))
        if not isinstance(content, Mapping):
            raise self.fault(f"expected {self.example}, found {content!r:.80}")
        for key in self.required:
            if key not in content:
                raise self.fault(f"lacks {key!r}; expected {self.example}")
        for key in content:
            if key not in self.parts:
                raise self.fault(f"has an unknown part: {unknown('part', str(key)[:80], self.parts)}")
        return {**self.optional, **content}

    @lazy_property
    def parts(self) -> tuple[str, ...]:
        """The names of all parts."""
        return (*self.required, *self.optional)

    def fault(self, message: str) -> NotationError:
        """Build an error of this notation."""
        return NotationError(f"{self.label}: {message}")

    def choice(self, content: Mapping[str, Any], part: str, choices: tuple[str, ...]) -> str:
        """Return the text of a part that is one of `choices`.

        Raises:
            NotationError: It is not.
        """
        value = content[part]
        if not isinstance(value, str) or value not in choices:
            raise self.fault(f"{part} is {value!r:.80}; expected {' or '.join(map(repr, choices))}")
        return value

    def switch(self, content: Mapping[str, Any], part: str) -> bool:
        """Return the value of a part that is True or False.

        Raises:
            NotationError: It is neither.
        """
        value = content[part]
        if not isinstance(value, bool):
            raise self.fault(f"{part} is {value!r:.80}; expected True or False")
        return value

    def _content(self, source: Any) -> Any:
        """The parts in the source, which may have other data or text around them."""
        content, error = source, None
        if isinstance(source, str):
            try:
                content = self._parsed(source)
            except NotationError as caught:
                error = caught
        if isinstance(content, Mapping) and any(part in content for part in self.required):
            return content
        finder = Finder(self._is_meant, self._expression, self._starts, self._by_position)
        found = finder.find(content)
        if len(found) > 1:
            raise self.fault(f"found {len(found)} that differ; give one of them alone: {self.example}")
        if found:
            return found[0]
        if error is not None and finder.errors:
            raise self._unreadable(finder.errors[0])
        if error is not None:
            raise error
        return content

    def _is_meant(self, content: Mapping[str, Any]) -> bool:
        return any(part in content for part in self.required)

    def _by_position(self, content: list[Any]) -> dict[str, Any] | None:
        """The parts in a list [nodes, concat, ...], the JSON form of a named tuple; None for other lists."""
        if self.call and len(self.required) <= len(content) <= len(self.parts):
            nodes, states = content[:2]
            if _is_list_of(nodes, list) and _is_list_of(states, int):
                return dict(zip(self.parts, content, strict=False))
        return None

    @property
    def _calls(self) -> tuple[str, ...]:
        # Search code based on DARTS often keeps the class name Genotype for its own genotypes.
        return tuple({self.call, "Genotype"}) if self.call else ()

    @lazy_property
    def _starts(self) -> re.Pattern[str]:
        names = "|".join((*self._calls, "OrderedDict", "dict"))
        named = rf"[A-Za-z_]\w*(?=\s*\(\s*(?:{'|'.join(self.required)})\s*=)"
        return re.compile(rf"(?<!\w)(?:[A-Za-z_]\w*\.)*(?:{names}|{named})\s*\(|\{{")

    def _expression(self, text: str) -> Any:
        return read_expression(text, self._calls, self.parts)

    def _parsed(self, text: str) -> Any:
        if not text.strip():
            raise self.fault(f"the text is empty; expected {self.example}")
        if len(text) > MAX_TEXT:
            try:
                return read_json(text[:MAX_JSON])
            except (ValueError, RecursionError):
                raise self.fault(f"{len(text)} characters; at most {MAX_TEXT} are read") from None
        try:
            return self._expression(text)
        except UNREADABLE as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: BaseException) -> NotationError:
        if isinstance(error, SyntaxError):
            place = f"line {error.lineno}, column {error.offset}: " if error.lineno else ""
            reason = shortened(str(error.msg), 100)
            return self.fault(f"{place}{reason}; expected {self.example}, alone or with text around it")
        return self.fault(f"not readable ({error}); expected {self.example}")


def _is_list_of(value: Any, kind: type[Any]) -> bool:
    return isinstance(value, list) and bool(value) and all(type(item) is kind for item in value)


def write_states(states: tuple[int, ...]) -> str:
    """Write indices as `range(1, 9)` where they are consecutive, else as a list."""
    first, last = states[0], states[-1]
    consecutive = states == tuple(range(first, last + 1))
    return f"range({first}, {last + 1})" if consecutive else str(list(states))

"""Texts such as `Genotype(recurrent=[('relu', 0)], concat=range(1, 9))`, read as plain data.

The same content may come as a dict literal, as JSON, or as data. Nothing is evaluated.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cellzoo.errors import NotationError, unknown

MAX_TEXT = 20_000
MAX_INDEX = 1000
_JSON_WORDS = {"true": True, "false": False}


@dataclass(frozen=True)
class Form:
    """What the texts of a notation look like.

    Attributes:
        label: How its error messages begin.
        call: The name before the parenthesis.
        example: A text in short, for error messages.
        required: The parts that must be there.
        optional: The parts that may be there, with their values where they are not.
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
        content = self._parsed(source) if isinstance(source, str) else source
        if not isinstance(content, Mapping):
            raise self.fault(f"expected {self.example}, found {content!r:.80}")
        for key in self.required:
            if key not in content:
                raise self.fault(f"lacks {key!r}; expected {self.example}")
        known = (*self.required, *self.optional)
        for key in content:
            if key not in known:
                raise self.fault(f"has an unknown part: {unknown('part', str(key)[:80], known)}")
        return {**self.optional, **content}

    def fault(self, message: str) -> NotationError:
        """Build the error that says `message` of this notation."""
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

    def _parsed(self, text: str) -> Any:
        if len(text) > MAX_TEXT:
            raise self.fault(f"{len(text)} characters; at most {MAX_TEXT} are read")
        try:
            with warnings.catch_warnings():
                # Such as those about odd escapes, which have nothing to do with this text.
                warnings.simplefilter("ignore")
                tree = ast.parse(text.strip(), mode="eval").body
            return self._value(tree)
        except SyntaxError as error:
            place = f"line {error.lineno}, column {error.offset}"
            raise self.fault(f"{place}: {error.msg}; expected {self.example}") from error
        except (RecursionError, MemoryError, ValueError) as error:
            raise self.fault(f"not readable ({error}); expected {self.example}") from error

    def _value(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Constant):
            return _constant(node)
        if isinstance(node, ast.Name) and node.id in _JSON_WORDS:
            return _JSON_WORDS[node.id]
        if (
            isinstance(node, ast.UnaryOp)
            and isinstance(node.op, ast.USub)
            and isinstance(node.operand, ast.Constant)
        ):
            return f"-{_constant(node.operand)!r}"
        if isinstance(node, ast.List | ast.Tuple):
            return [self._value(item) for item in node.elts]
        if isinstance(node, ast.Dict):
            keys = [None if key is None else self._value(key) for key in node.keys]
            if not all(isinstance(key, str) for key in keys):
                raise ValueError("a key is not text")
            return _once(keys, [self._value(item) for item in node.values])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id == "range" and not node.keywords and 1 <= len(node.args) <= 2:
                return self._range([self._value(item) for item in node.args])
            if node.func.id == self.call and not node.args:
                keys = [keyword.arg or "**" for keyword in node.keywords]
                return _once(keys, [self._value(keyword.value) for keyword in node.keywords])
        text = ast.unparse(node)[:80]
        raise ValueError(f"{text!r} at column {node.col_offset + 1} is not part of a genotype")

    @staticmethod
    def _range(bounds: list[Any]) -> list[int]:
        if all(type(bound) is int and 0 <= bound <= MAX_INDEX for bound in bounds):
            return list(range(*bounds))
        raise ValueError(f"range({', '.join(map(str, bounds))}) is out of 0 to {MAX_INDEX}")


def _once(keys: list[Any], values: list[Any]) -> dict[str, Any]:
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice!r:.80} is there twice")
    return dict(zip(keys, values, strict=True))


def _constant(node: ast.Constant) -> Any:
    if isinstance(node.value, int) and node.value > MAX_INDEX:
        raise ValueError(f"the number at column {node.col_offset + 1} is out of 0 to {MAX_INDEX}")
    return node.value


def write_states(states: tuple[int, ...]) -> str:
    """Write indices as `range(1, 9)` where they are consecutive, else as a list."""
    first, last = states[0], states[-1]
    consecutive = states == tuple(range(first, last + 1))
    return f"range({first}, {last + 1})" if consecutive else str(list(states))

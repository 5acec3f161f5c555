"""Converts Python objects of search code, and text pasted from elsewhere, to plain data."""

from __future__ import annotations

import re
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from itertools import islice
from operator import index
from types import ModuleType
from typing import Any

MAX_ITEMS = 100_000
# Escape sequences for colours and links of terminals; invisible characters.
_UNSEEN = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\ufeff\u200b-\u200f\u2060]")
_TYPOGRAPHY = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201a\u2032\u02b9\u00b4", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u2033", '"')
    | dict.fromkeys("\u2212\u2013", "-")
    | dict.fromkeys("\u00a0\u2002\u2003\u2007\u2009\u202f\u3000\u2502", " ")
)


def plain(value: Any) -> Any:
    """Convert named tuples, other records, and numpy and torch numbers and arrays to plain data.

    Other objects are returned unchanged, for an error message to show. In arrays, digits and integral floats
    become integers, because an array that holds operations and numbers has a single dtype.

    Raises:
        ValueError: There are more than `MAX_ITEMS` items.
    """
    return _Reader().read(value)


class _Reader:
    def __init__(self) -> None:
        self.left = MAX_ITEMS

    def read(self, value: Any) -> Any:
        if isinstance(value, str):
            return cleaned(str(value))
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, bytes):
            return cleaned(value.decode("utf-8", errors="replace"))
        if isinstance(value, Mapping):
            pairs = self._counted(value.items(), len(value))
            return {str(key) if isinstance(key, str) else key: self.read(item) for key, item in pairs}
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return {name: self.read(item) for name, item in zip(value._fields, value, strict=True)}
        if isinstance(value, Sequence):
            return [self.read(item) for item in self._counted(value, len(value))]
        if isinstance(value, Iterator | KeysView | ValuesView | ItemsView):
            found = list(islice(value, self.left + 1))
            return [self.read(item) for item in self._counted(found, len(found))]
        if isinstance(value, AbstractSet):
            return sorted((self.read(item) for item in self._counted(value, len(value))), key=repr)
        if is_dataclass(value) and not isinstance(value, type):
            return {field.name: self.read(getattr(value, field.name)) for field in fields(value)}
        if _is_record(value):
            return {
                name: self.read(item) for name, item in self._counted(vars(value).items(), len(vars(value)))
            }
        return self._of_array(value)

    def _of_array(self, value: Any) -> Any:
        """Convert numpy and torch arrays, recognised by their attributes, so that neither is imported."""
        if not (hasattr(value, "tolist") and hasattr(value, "dtype")):
            return value
        size = getattr(value, "size", 1)
        self._counted((), size if isinstance(size, int) else value.numel())
        return as_numbers(value.tolist())

    def _counted(self, items: Iterable[Any], count: int) -> Iterable[Any]:
        self.left -= count
        if self.left < 0:
            raise ValueError(f"more than {MAX_ITEMS} items")
        return items


def _is_record(value: Any) -> bool:
    """Whether a value is a plain object with attributes, such as a namespace."""
    if isinstance(value, type | ModuleType) or callable(value) or hasattr(value, "dtype"):
        return False
    return bool(getattr(value, "__dict__", None))


def cleaned(text: str) -> str:
    """Remove terminal colours, and normalise typographic quotes, dashes, blanks and line ends."""
    text = _UNSEEN.sub("", text).translate(_TYPOGRAPHY)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def as_numbers(value: Any) -> Any:
    """Convert digits and integral floats, to which an array coerced integers, back to integers."""
    if isinstance(value, list):
        return [as_numbers(item) for item in value]
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 9:
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    try:
        return value if isinstance(value, bool) else index(value)
    except TypeError:
        return plain(value) if isinstance(value, tuple | Mapping) else value

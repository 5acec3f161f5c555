"""Data as search code holds it in memory, as plain lists, dicts, text and numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from operator import index
from typing import Any

MAX_ITEMS = 100_000


def plain(value: Any) -> Any:
    """Turn named tuples, dataclasses, and numbers and arrays of numpy and torch into plain data.

    What is none of these is given back as it is, for a message to name. Whole numbers and digits in an array
    are numbers, since an array of operations and numbers has one kind for all.

    Raises:
        ValueError: There are more than `MAX_ITEMS`.
    """
    return _Reader().read(value)


class _Reader:
    def __init__(self) -> None:
        self.left = MAX_ITEMS

    def read(self, value: Any) -> Any:
        if isinstance(value, str):
            return str(value)
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, bytes):
            return value.decode("utf-8", errors="replace")
        if isinstance(value, Mapping):
            pairs = self._counted(value.items(), len(value))
            return {str(key) if isinstance(key, str) else key: self.read(item) for key, item in pairs}
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return {name: self.read(item) for name, item in zip(value._fields, value, strict=True)}
        if isinstance(value, list | tuple | range):
            return [self.read(item) for item in self._counted(value, len(value))]
        if isinstance(value, AbstractSet):
            return sorted((self.read(item) for item in self._counted(value, len(value))), key=repr)
        if is_dataclass(value) and not isinstance(value, type):
            return {field.name: self.read(getattr(value, field.name)) for field in fields(value)}
        return self._of_array(value)

    def _of_array(self, value: Any) -> Any:
        """Of numpy and torch, which need not be loaded for that."""
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


def as_numbers(value: Any) -> Any:
    """Make whole numbers of what an array turned into digits or into fractions."""
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


def plain_text(value: Any) -> Any:
    """Text, and lines in a list or an array as one text; what is neither is given back as plain data."""
    found = plain(value)
    if isinstance(found, list) and found and all(isinstance(line, str) for line in found):
        found = "\n".join(found)
    return found.removeprefix("\ufeff") if isinstance(found, str) else found

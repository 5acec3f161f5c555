"""Reads Python literals, JSON, and the few calls that occur in printed data, without evaluating anything."""

from __future__ import annotations

import ast
import warnings
from typing import TYPE_CHECKING, Any

from cellzoo.notations.plain import as_numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_INDEX = 1000
# No genotype has larger integers, and Python may refuse to print them.
_LARGEST = 2**63
_JSON_WORDS = {"true": True, "false": False, "null": None, "NaN": None, "Infinity": None}
_RANGES = frozenset({"range", "arange"})
_LISTS = frozenset({"list", "tuple", "set", "frozenset"})
_ARRAYS = frozenset({"array", "asarray", "tensor"})
_DICTS = frozenset({"dict", "OrderedDict"})
_TEXTS = frozenset({"str", "str_"})
_BOOLS = frozenset({"bool", "bool_"})
_NUMBERS = frozenset(
    {"int", "intp", "longlong", *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64))}
)


def read_expression(text: str, records: Sequence[str] = (), parts: Sequence[str] = ()) -> Any:
    """Read one expression.

    Args:
        text: The text.
        records: Names of classes whose arguments may be positional, such as `Genotype`. A call with named
            arguments is accepted under any class name.
        parts: The names of the positional arguments.

    Raises:
        SyntaxError: It is not an expression.
        ValueError: It has a part that is not data.
        RecursionError, MemoryError: It is nested too deeply.
    """
    with warnings.catch_warnings():
        # Such as SyntaxWarning about invalid escape sequences.
        warnings.simplefilter("ignore")
        tree = ast.parse(text.strip(), mode="eval").body
    return _Reader(records, parts).read(tree)


class _Reader:
    def __init__(self, records: Sequence[str], parts: Sequence[str]) -> None:
        self.records = records
        self.parts = parts

    def read(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Constant):
            if isinstance(node.value, int) and node.value > _LARGEST:
                raise ValueError(f"the number at column {node.col_offset + 1} is out of 0 to {MAX_INDEX}")
            if node.value is ...:
                raise ValueError(f"'...' at column {node.col_offset + 1} stands for what was left out")
            return node.value.decode(errors="replace") if isinstance(node.value, bytes) else node.value
        if isinstance(node, ast.Name) and node.id in _JSON_WORDS:
            return _JSON_WORDS[node.id]
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            if isinstance(node.operand, ast.Constant):
                return f"-{self.read(node.operand)!r}"
        elif isinstance(node, ast.List | ast.Tuple | ast.Set):
            return [self.read(item) for item in node.elts]
        elif isinstance(node, ast.Dict):
            keys = [None if key is None else self.read(key) for key in node.keys]
            if not all(isinstance(key, str) for key in keys):
                raise ValueError("a key is not text")
            return _once(keys, [self.read(item) for item in node.values])
        elif isinstance(node, ast.Call) and (name := _last_name(node.func)) is not None:
            found = self._call(name, node)
            if found is not None:
                return found[0]
        text = ast.unparse(node)[:80]
        raise ValueError(f"{text!r} at column {node.col_offset + 1} is not part of a genotype")

    def _call(self, name: str, node: ast.Call) -> tuple[Any] | None:
        """The value of a call, in a tuple of one; None if the call is not supported."""
        given = len(node.args)
        if name in self.records or (given == 0 and any(keyword.arg in self.parts for keyword in node.keywords)):
            keys = [*self.parts[:given], *(keyword.arg or "**" for keyword in node.keywords)]
            values = [*node.args, *(keyword.value for keyword in node.keywords)]
            return None if given > len(self.parts) else (_once(keys, [self.read(item) for item in values]),)
        if name in _DICTS:
            return (self._dict(node),) if given <= 1 else None
        if name in _ARRAYS and given == 1:  # what follows is its dtype and its device
            return (as_numbers(self.read(node.args[0])),)
        if node.keywords:
            return None
        if name in _RANGES and 1 <= given <= 3:
            return (_range([self.read(item) for item in node.args]),)
        if given != 1:
            return ([],) if given == 0 and name in _LISTS else None
        value = self.read(node.args[0])
        if name in _LISTS and isinstance(value, list):
            return (value,)
        wanted = (name in _TEXTS, str), (name in _BOOLS, bool), (name in _NUMBERS, int)
        return (value,) if any(is_named and type(value) is kind for is_named, kind in wanted) else None

    def _dict(self, node: ast.Call) -> dict[str, Any]:
        """The value of `dict(...)`: from a dict, from pairs, and from keyword arguments."""
        keys = [keyword.arg or "**" for keyword in node.keywords]
        values = [self.read(keyword.value) for keyword in node.keywords]
        for argument in node.args:
            pairs = self.read(argument)
            pairs = list(pairs.items()) if isinstance(pairs, dict) else pairs
            if not isinstance(pairs, list) or not all(
                len(pair) == 2 and isinstance(pair[0], str) for pair in pairs if isinstance(pair, list | tuple)
            ):
                raise ValueError("a dict is not made of pairs of text and value")
            if not all(isinstance(pair, list | tuple) for pair in pairs):
                raise ValueError("a dict is not made of pairs of text and value")
            keys += [pair[0] for pair in pairs]
            values += [pair[1] for pair in pairs]
        return _once(keys, values)


def _last_name(function: ast.expr) -> str | None:
    """The name of a function without the modules before it."""
    name = function.attr if isinstance(function, ast.Attribute) else None
    while isinstance(function, ast.Attribute):
        function = function.value
    if not isinstance(function, ast.Name):
        return None
    return function.id if name is None else name


def _range(bounds: list[Any]) -> list[int]:
    if all(type(bound) is int and 0 <= bound <= MAX_INDEX for bound in bounds) and bounds[2:] != [0]:
        return list(range(*bounds))
    raise ValueError(f"range({', '.join(map(str, bounds))}) is out of 0 to {MAX_INDEX}")


def _once(keys: list[Any], values: list[Any]) -> dict[str, Any]:
    seen: set[Any] = set()
    for key in keys:
        if key in seen:
            raise ValueError(f"{key!r:.80} is repeated")
        seen.add(key)
    return dict(zip(keys, values, strict=True))

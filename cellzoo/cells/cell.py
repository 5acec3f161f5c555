"""Cell: a validated graph with a content hash and a JSON form."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from cellzoo.cells.canonical import content_hash
from cellzoo.cells.graph import HIDDEN_WIDTH, CellGraph, Node, State
from cellzoo.cells.initial import rules
from cellzoo.cells.validation import check_graph
from cellzoo.errors import CellError
from cellzoo.system.lazy import lazy_property

MAX_JSON = 10_000_000
_JSON_VERSION = 1


@dataclass(frozen=True)
class Cell(CellGraph):
    """A recurrent cell as immutable data: a graph that was validated.

    Raises:
        CellError: The graph is not a valid cell; the message names the node and what would be right.
    """

    def __post_init__(self) -> None:
        check_graph(self)
        rules(self)

    @lazy_property
    def hash(self) -> str:
        """64 hexadecimal digits that depend on what the cell computes, not on names or listing order."""
        return content_hash(self)

    def _repr_svg_(self) -> str:
        """The picture of the cell, which notebooks show."""
        from cellzoo.draw import svg

        return svg(self)

    def to_json(self) -> str:
        """Write the cell as JSON text that `from_json` reads."""
        content: dict[str, Any] = {
            "cell_version": _JSON_VERSION,
            "name": self.name,
            "states": [[state.name, state.next, state.width] for state in self.states],
            "nodes": [_node_content(node) for node in self.nodes],
            "output": self.output,
        }
        if self.init:
            content["init"] = dict(self.init)
        return json.dumps(content, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Cell:
        """Read what `to_json` wrote.

        Raises:
            CellError: The text is not a cell in JSON, or the cell is invalid.
        """
        if not isinstance(text, str) or len(text) > MAX_JSON:
            found = f"{len(text)} characters" if isinstance(text, str) else type(text).__name__
            raise CellError(f"a cell in JSON: {found}; expected text of at most {MAX_JSON} characters")
        try:
            content = json.loads(text, object_pairs_hook=_without_repetition)
        except (ValueError, RecursionError) as error:
            raise CellError(f"a cell in JSON: not readable: {error}") from error
        if not isinstance(content, dict) or content.get("cell_version") != _JSON_VERSION:
            raise CellError(f"a cell in JSON: expected an object with cell_version {_JSON_VERSION}")
        try:
            states = tuple(State(*_names(state)) for state in content["states"])
            nodes = tuple(
                Node(
                    str(item["name"]),
                    str(item["op"]),
                    _names(item["inputs"]),
                    _names(item.get("weights", [])),
                    None if item.get("bias") is None else str(item["bias"]),
                    str(item.get("width", HIDDEN_WIDTH)),
                    _whole(item.get("heads", 1)),
                    None if item.get("value") is None else float(item["value"]),
                )
                for item in content["nodes"]
            )
            init = tuple((str(selector), rule) for selector, rule in content.get("init", {}).items())
            return cls(states, nodes, str(content["output"]), name=str(content.get("name", "")), init=init)
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise CellError(f"a cell in JSON: missing or malformed field: {error}") from error


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these keys and values; a ValueError where a key is repeated."""
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r:.80} is repeated in one object")
    return content


def _names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r:.80} is not a list of names")
    return tuple(map(str, value))


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"heads is {value!r:.80}; expected a whole number")
    return value


def _node_content(node: Node) -> dict[str, Any]:
    content: dict[str, Any] = {"name": node.name, "op": node.op, "inputs": list(node.inputs)}
    if node.weights:
        content["weights"] = list(node.weights)
    if node.bias is not None:
        content["bias"] = node.bias
    if node.width != HIDDEN_WIDTH:
        content["width"] = node.width
    if node.heads != 1:
        content["heads"] = node.heads
    if node.value is not None:
        content["value"] = node.value
    return content

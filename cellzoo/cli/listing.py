"""The interface of a list that `cellzoo list` prints.

A package adds a list by registering a `Kind` in the entry-point group `cellzoo.lists`, such as
`tasks = "tasks.commands.lists:TASKS"`. Its module must not import anything heavy, because `cellzoo list --help`
loads all of them; `names` and `item` may import what they need.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


@dataclass(frozen=True)
class Item:
    """One entry of a list.

    Attributes:
        name: The name by which users refer to it.
        columns: A text for each of the kind's `headings`; the last one is cut to the terminal.
        fields: The fields that `--json` prints and `--where FIELD=TEXT` matches, besides the name: numbers,
            texts, lists of them, or None.
    """

    name: str
    columns: tuple[str, ...]
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Kind:
    """A kind of named entries: cells, tasks, methods.

    Attributes:
        name: The argument of `cellzoo list`, in the plural.
        summary: One line for `cellzoo list --help`.
        headings: The headings of the columns after the name.
        names: Returns all names; must be fast, because `--names` and patterns need nothing else.
        item: Describes one entry; may raise a `CellzooError`.
        notes: Returns lines to print below the table.
        overview: Returns a summary to print instead of the table unless a part of it, or all, is requested.
        counted: The plural noun of the last line, such as `data sets`; empty for the name.
    """

    name: str
    summary: str
    headings: tuple[str, ...]
    names: Callable[[], Iterable[str]]
    item: Callable[[str], Item]
    notes: Callable[[], Iterable[str]] = tuple
    overview: Callable[[], Iterable[str]] | None = None
    counted: str = ""

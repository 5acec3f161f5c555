"""The contract of what `cellzoo list` can list.

A package brings a kind of things by naming a `Kind` in the entry-point group `cellzoo.lists`, such as
`tasks = "tasks.commands.lists:TASKS"`. The module that holds it must import nothing heavy, for
`cellzoo list --help` loads all of them; `names` and `item` may import what they need.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


@dataclass(frozen=True)
class Item:
    """One thing in a list.

    Attributes:
        name: What a user types to have it.
        columns: A text for each of the kind's `headings`; the last one is cut to the terminal.
        fields: What `--json` prints and `--where FIELD=TEXT` looks at, beside the name: numbers, texts, lists
            of them, or None.
    """

    name: str
    columns: tuple[str, ...]
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Kind:
    """A kind of things with names: cells, tasks, methods.

    Attributes:
        name: What is typed after `cellzoo list`, in the plural.
        summary: One line for `cellzoo list --help`.
        headings: Of the columns that follow the name.
        names: Gives all names; quick, since `--names` and patterns need nothing else.
        item: Describes one of them; may raise a `CellzooError`.
        notes: Gives lines that stand below the whole list.
        overview: Gives lines that stand for the list as long as nobody asks for a part of it, or for all.
    """

    name: str
    summary: str
    headings: tuple[str, ...]
    names: Callable[[], Iterable[str]]
    item: Callable[[str], Item]
    notes: Callable[[], Iterable[str]] = tuple
    overview: Callable[[], Iterable[str]] | None = None

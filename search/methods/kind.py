"""What a file in this folder offers: a method of search, as the object `METHOD`.

`registry.py` finds the files by themselves, so a new method is one new file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from search.methods.method import Method
    from search.objectives.objective import Objective


@dataclass(frozen=True)
class MethodKind:
    """A method of search.

    Attributes:
        name: What is typed after `cellzoo search`, and the name of its tables in presets.
        summary: One line on what it does, with its source.
        settings: A frozen dataclass of plain values with defaults; it raises `CellzooError` for values that are
            out of range.
        build: Makes the method from its settings, the objective, and a CPU generator that decides all its
            chance but the dropout masks. Raises `CellzooError` where the settings do not fit the objective.
        check_epochs: Takes the settings and the epochs of a search, and raises `CellzooError` where they do not
            go together.
    """

    name: str
    summary: str
    settings: type
    build: Callable[[Any, Objective, torch.Generator], Method]
    check_epochs: Callable[[Any, int], None] = lambda settings, epochs: None

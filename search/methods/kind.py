"""What a file in this folder offers: a method that trains a supernet, as the object `METHOD`.

`search.registry` finds the files by themselves, so a new method is one new file; one of another package is
registered in the entry-point group `cellzoo.methods`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from search.methods.method import Method
    from tasks.problem import Problem
    from tasks.settings import Settings


@dataclass(frozen=True)
class MethodKind:
    """A method that trains a supernet.

    Attributes:
        name: What is typed after `cellzoo search`, and the name of its tables in presets.
        summary: One line on what it does, with its source.
        settings: All its settings, with defaults.
        build: Makes the method from its settings, the problem, and a CPU generator that decides all its random
            numbers but the dropout masks. Raises `CellzooError` where the settings do not fit the problem.
    """

    name: str
    summary: str
    settings: type[Settings]
    build: Callable[[Any, Problem, torch.Generator], Method]

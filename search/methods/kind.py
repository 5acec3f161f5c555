"""The description of a method that trains a supernet; its file in this folder has it as the object `METHOD`.

`search.registry` finds the files, so a new method is one new file. Other packages register theirs in the
entry-point group `cellzoo.methods`.
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
        name: The argument of `cellzoo search`, and the name of its tables in presets.
        summary: A description in one line, with its source.
        settings: The class of its settings.
        build: Makes the method from its settings, the problem, and a CPU generator, the source of all its
            random numbers except dropout masks. Raises `CellzooError` if the settings do not fit the problem.
    """

    name: str
    summary: str
    settings: type[Settings]
    build: Callable[[Any, Problem, torch.Generator], Method]

"""Checks and random choices that several spaces share."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from cellzoo.errors import CellzooError, unknown
from cellzoo.notations.steps.checks import MAX_STEPS
from cellzoo.notations.steps.graph import MORE_OPERATIONS, OPERATIONS

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

Choice = TypeVar("Choice")


def check_nodes(nodes: int) -> None:
    """Check a number of nodes.

    Raises:
        CellzooError: It is out of range.
    """
    if not 1 <= nodes <= MAX_STEPS:
        raise CellzooError(f"nodes is {nodes}; a cell has 1 to {MAX_STEPS} nodes")


def check_operations(operations: Sequence[str]) -> None:
    """Check the operations that a cell may have.

    Raises:
        CellzooError: There is none, one is unknown, or one is named twice.
    """
    known = (*OPERATIONS, *MORE_OPERATIONS)
    for op in operations:
        if op not in known:
            raise unknown("operation", op, known)
    if not operations or len(set(operations)) != len(operations):
        raise CellzooError(f"operations {list(operations)}: name at least one, each once")


def another(current: Choice, choices: Sequence[Choice], generator: random.Random) -> Choice:
    """Draw one of the choices other than the current one; there must be another."""
    return generator.choice([choice for choice in choices if choice != current])


def nothing_else() -> CellzooError:
    """The error of a mutation in a space with a single genotype."""
    return CellzooError("the space has only one cell; there is nothing to mutate it into")

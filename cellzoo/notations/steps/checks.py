"""Checks on the parts of a genotype. Every message names the step and what was expected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cellzoo.errors import unknown
from cellzoo.notations.steps.graph import MORE_OPERATIONS, NONE, OPERATIONS, Edge

if TYPE_CHECKING:
    from cellzoo.notations.literals import Form

MAX_STEPS = 100


def is_list(value: Any) -> bool:
    """Whether a value is a list, a tuple or a range."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def checked_recurrent(form: Form, recurrent: Any) -> Sequence[Any]:
    """Check that a value is a list of at most `MAX_STEPS` steps.

    Raises:
        NotationError: It is not.
    """
    if not is_list(recurrent) or not recurrent:
        raise form.fault(f"recurrent is {recurrent!r:.80}; expected at least one node")
    if len(recurrent) > MAX_STEPS:
        raise form.fault(f"{len(recurrent)} nodes; at most {MAX_STEPS} are read")
    steps: Sequence[Any] = recurrent
    return steps


def checked_edge(form: Form, step: int, edge: Any, *, none: bool = False) -> Edge:
    """Check an edge (operation, predecessor) into a step.

    Args:
        form: The notation.
        step: The step, from 1.
        edge: What was found.
        none: Whether `none` is an operation.

    Raises:
        NotationError: It is not an edge.
    """
    where = f"node {step}"
    if not is_list(edge) or len(edge) != 2:
        raise form.fault(f"{where}: {edge!r:.80} is not a pair (op, predecessor)")
    op = checked_operation(form, where, edge[0], none=none)
    return op, checked_predecessor(form, step, edge[1])


def checked_operation(form: Form, where: str, op: Any, *, none: bool = False) -> str:
    """Check the name of an operation.

    Raises:
        NotationError: It is unknown.
    """
    known = (*OPERATIONS, *MORE_OPERATIONS, *([NONE] if none else []))
    if not isinstance(op, str) or op not in known:
        raise form.fault(f"{where}: {unknown('operation', str(op)[:80], known)}")
    return op


def checked_predecessor(form: Form, step: int, predecessor: Any) -> int:
    """Check the index of a state that a step reads.

    Raises:
        NotationError: There is no such state yet.
    """
    if type(predecessor) is not int or not 0 <= predecessor < step:
        allowed = "only 0 exists" if step == 1 else f"0 to {step - 1} exist"
        raise form.fault(f"node {step}: predecessor {predecessor!r:.80} does not exist yet; {allowed}")
    return predecessor


def checked_concat(form: Form, concat: Any, steps: int) -> tuple[int, ...]:
    """Check the states whose mean is the output.

    Raises:
        NotationError: One is not a state, or is named twice.
    """
    if not is_list(concat) or not concat:
        raise form.fault(f"concat is {concat!r:.80}; expected at least one state")
    for index in concat:
        if type(index) is not int or not 0 <= index <= steps:
            raise form.fault(f"concat names state {index!r:.80}; the states are 0 to {steps}")
    if len(set(concat)) != len(concat):
        raise form.fault(f"concat {list(concat)} names a state twice")
    return tuple(concat)

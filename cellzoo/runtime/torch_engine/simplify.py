"""Fewer steps for the same values: copies and repetitions go, results are computed where they are kept."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cellzoo.runtime.program import Op
from cellzoo.runtime.torch_engine.operands import Register
from cellzoo.runtime.torch_engine.steps import REDUCTIONS, Body, Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cellzoo.runtime.torch_engine.operands import Operand

# They add to gradients of parameters beside writing their target.
_WITH_EFFECT = REDUCTIONS | {Op.MIXTURE_BACKWARD, Op.PARAMETER_SCALE_BACKWARD}


def simplify(body: Body) -> Body:
    """Rewrite the steps of a kernel."""
    steps = list(body.steps)
    _follow_copies(steps)
    _compute_once(steps)
    _follow_copies(steps)
    _write_in_place(steps, set(body.inits))
    _drop_unread(steps)
    return replace(body, steps=tuple(steps))


def last_read(steps: Sequence[Step], operand: Operand, start: int) -> int:
    """Position of the last step from `start` on that reads an operand; -1 if none does."""
    return max((k for k in range(start, len(steps)) if operand in steps[k].args), default=-1)


def is_written(steps: Sequence[Step], operand: Operand, start: int, end: int) -> bool:
    """Whether one of the steps start, ..., end - 1 overwrites an operand."""
    return any(step.target == operand for step in steps[start:end])


def read_instead(steps: Iterable[Step], mapping: Mapping[Operand, Operand]) -> list[Step]:
    """The steps with the operands that they read replaced."""
    return [replace(step, args=tuple(mapping.get(arg, arg) for arg in step.args)) for step in steps]


def _follow_copies(steps: list[Step]) -> None:
    """Read the source of a copy in a register, where it stays what it was as long as the copy is read."""
    position = 0
    while position < len(steps):
        step = steps[position]
        if step.op is Op.COPY and isinstance(step.target, Register):
            source = step.args[0]
            if not is_written(steps, source, position + 1, last_read(steps, step.target, position + 1)):
                steps[position:] = read_instead(steps[position + 1 :], {step.target: source})
                continue
        position += 1


def _compute_once(steps: list[Step]) -> None:
    """Turn a step into a copy where an earlier one gave the same value, and it is still there."""
    for position, step in enumerate(steps):
        if step.target is None or step.target in step.args or step.op in _WITH_EFFECT or step.op is Op.COPY:
            continue
        for later in range(position + 1, len(steps)):
            other = steps[later]
            if (
                (other.op, other.args, other.immediate) == (step.op, step.args, step.immediate)
                and isinstance(other.target, Register)
                and not any(is_written(steps, arg, position + 1, later) for arg in step.args)
                and not is_written(steps, step.target, position + 1, later)
            ):
                steps[later] = Step(Op.COPY, other.target, (step.target,))


def _write_in_place(steps: list[Step], products: set[Register]) -> None:
    """Let a step write right where its result is copied to; products are no step's results."""
    position = 0
    while position < len(steps):
        step = steps[position]
        source = step.args[0] if step.args else None
        if step.op is Op.COPY and isinstance(source, Register) and source not in products:
            place = step.target
            assert place is not None  # noqa: S101 - copies have targets
            made = next(k for k in range(position) if steps[k].target == source)
            untouched = all(
                place not in other.args and other.target != place for other in steps[made + 1 : position]
            )
            end = last_read(steps, source, position + 1)
            if untouched and not is_written(steps, place, position + 1, end):
                steps[made] = replace(steps[made], target=place)
                del steps[position]
                steps[made + 1 :] = read_instead(steps[made + 1 :], {source: place})
                continue
        position += 1


def _drop_unread(steps: list[Step]) -> None:
    for position in range(len(steps) - 1, -1, -1):
        step = steps[position]
        if (
            isinstance(step.target, Register)
            and step.op not in _WITH_EFFECT
            and last_read(steps, step.target, position + 1) < 0
        ):
            del steps[position]

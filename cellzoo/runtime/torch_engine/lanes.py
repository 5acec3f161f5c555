"""Grouping of equal operations on several values, which become one operation on adjacent values (lanes)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from cellzoo.runtime.program import Op
from cellzoo.runtime.torch_engine.operands import BufferColumns, Register
from cellzoo.runtime.torch_engine.steps import REDUCTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cellzoo.runtime.torch_engine.operands import Operand
    from cellzoo.runtime.torch_engine.steps import Step

# Operations whose immediate is the index of a mixture parameter; it may differ between lanes.
OF_PARAMETERS = frozenset({Op.MIXTURE, Op.MIXTURE_BACKWARD, Op.PARAMETER_SCALE, Op.PARAMETER_SCALE_BACKWARD})


# Sort key of a lane: index of the first buffer that the value is computed from, and index of a parameter.
_Rank: TypeAlias = tuple[int, int]
_LAST: _Rank = (2**62, 0)


def one_by_one(steps: Sequence[Step], places: Mapping[Register, Operand]) -> list[list[Step]]:
    """Each step in a group of its own, without copies of operands to themselves. Arguments as in `alike`."""
    return [[step] for step in _placed(steps, places)]


def alike(steps: Sequence[Step], places: Mapping[Register, Operand]) -> list[list[Step]]:
    """Group independent steps with the same operation; all others are groups of their own.

    Args:
        steps: The steps of one kernel, in order.
        places: Register of a product -> operand that replaces it.

    Returns:
        Groups in a valid order of execution. Lanes are ordered consistently across groups.
    """
    levels: list[dict[tuple[object, ...], list[tuple[_Rank, Step]]]] = []
    # Operand -> first level after its last write, and after its last read.
    written: dict[Operand, int] = {}
    read: dict[Operand, int] = {}
    ranks: dict[Operand, _Rank] = {}
    for position, step in enumerate(_placed(steps, places)):
        args, target = step.args, step.target
        level = max((written.get(arg, 0) for arg in args), default=0)
        if target is not None:
            level = max(level, written.get(target, 0), read.get(target, 0))
        if level == len(levels):
            levels.append({})
        rank = min((_rank(arg, ranks) for arg in args), default=_LAST)
        if step.op in OF_PARAMETERS:
            rank = (rank[0], step.immediate)
        is_alone = step.op in REDUCTIONS or target is None
        key = (position,) if is_alone else (step.op, 0 if step.op in OF_PARAMETERS else step.immediate)
        levels[level].setdefault(key, []).append((rank, step))
        for arg in args:
            read[arg] = max(read.get(arg, 0), level + 1)
        if target is not None:
            written[target] = level + 1
            ranks[target] = rank
    return [
        [step for _, step in sorted(group, key=lambda item: item[0])]
        for level in levels
        for group in level.values()
    ]


def neighbours(groups: Sequence[Sequence[Step]]) -> Iterator[tuple[int, ...]]:
    """Buffers that should be adjacent, in this order, so that the steps of a group can be joined.

    Copies are left out: joining them does not justify constraints on the layout.
    """
    for group in groups:
        if len(group) > 1 and group[0].op is not Op.COPY:
            operands = [*zip(*(step.args for step in group), strict=True), [step.target for step in group]]
            for lanes in operands:
                buffers = tuple(place.buffers[0] for place in lanes if isinstance(place, BufferColumns))
                if len(set(buffers)) == len(group):
                    yield buffers


def _placed(steps: Sequence[Step], places: Mapping[Register, Operand]) -> Iterator[Step]:
    known: dict[Operand, Operand] = dict(places.items())
    for step in steps:
        args = tuple(known.get(arg, arg) for arg in step.args)
        target = None if step.target is None else known.get(step.target, step.target)
        if step.op is not Op.COPY or args != (target,):
            yield replace(step, args=args, target=target)


def _rank(operand: Operand, ranks: Mapping[Operand, _Rank]) -> _Rank:
    if operand in ranks:
        return ranks[operand]
    return (operand.buffers[0], 0) if isinstance(operand, BufferColumns) else _LAST

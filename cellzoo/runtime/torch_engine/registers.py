"""Scratch memory for the registers of a kernel: as few pieces as are alive at once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cellzoo.runtime.program import Op
from cellzoo.runtime.torch_engine.accesses import Accesses
from cellzoo.runtime.torch_engine.operands import Register, Scratch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cellzoo.runtime.torch_engine.operands import Operand
    from cellzoo.runtime.torch_engine.steps import Step


def allocate(steps: Sequence[Step], width: str, places: Mapping[Register, Operand]) -> list[Step]:
    """Replace registers by memory.

    Args:
        steps: Of one kernel, each register written once.
        width: Of the kernel.
        places: Where the registers of products live.

    Returns:
        The steps, without those that would copy a value to where it is.
    """
    accesses = Accesses(steps)
    memory: dict[Operand, Operand] = dict(places.items())
    free: list[Operand] = []
    count = 0
    result = []
    for position, step in enumerate(steps):
        args = tuple(memory.get(arg, arg) for arg in step.args)
        free.extend(
            memory[arg]
            for arg in dict.fromkeys(step.args)
            if isinstance(arg, Register) and arg not in places and accesses.last_read(arg) == position
        )
        target = step.target
        if isinstance(target, Register):
            if not free:
                free.append(Scratch(width, 1, 0, 1, f"register {count}"))
                count += 1
            place = memory[target] = free.pop()
            if accesses.last_read(target) < position:
                free.append(place)
            target = place
        if step.op is not Op.COPY or (target,) != args:
            result.append(replace(step, target=target, args=args))
    return result

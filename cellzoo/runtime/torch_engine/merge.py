"""Kernels that read the same value become one, where nothing comes between them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cellzoo.runtime.torch_engine.operands import Register

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cellzoo.runtime.torch_engine.operands import Operand
    from cellzoo.runtime.torch_engine.steps import Body


def merge(bodies: Iterable[Body]) -> list[Body]:
    """Move each kernel of a phase to the first that multiplies one of its values, if that changes no result."""
    merged: list[Body] = []
    for body in bodies:
        place = next((k for k in range(len(merged)) if _can_join(merged[k], merged[k + 1 :], body)), None)
        if place is None:
            merged.append(body)
        else:
            merged[place] = _joined(merged[place], body)
    return merged


def _can_join(first: Body, between: Sequence[Body], body: Body) -> bool:
    shared = {factor.source for factor in first.factors} & {factor.source for factor in body.factors}
    if not shared or first.width != body.width:
        return False
    # Its products move before the steps of the first kernel, its steps only before the kernels between.
    if body.multiplied & first.written:
        return False
    reads, writes = body.read, body.written
    return not any(reads & other.written or writes & other.written or writes & other.read for other in between)


def _joined(first: Body, second: Body) -> Body:
    count = 1 + max(register.number for register in _registers(first))
    renamed = {register: Register(count + register.number) for register in _registers(second)}
    factors = (replace(factor, register=renamed[factor.register]) for factor in second.factors)
    inits = {renamed[register]: init for register, init in second.inits.items()}
    steps = (
        replace(
            step,
            target=None if step.target is None else _new_name(step.target, renamed),
            args=tuple(_new_name(arg, renamed) for arg in step.args),
        )
        for step in second.steps
    )
    return replace(
        first,
        factors=(*first.factors, *factors),
        inits={**first.inits, **inits},
        steps=(*first.steps, *steps),
    )


def _new_name(operand: Operand, names: Mapping[Register, Register]) -> Operand:
    return names[operand] if isinstance(operand, Register) else operand


def _registers(body: Body) -> set[Register]:
    targets = {step.target for step in body.steps}
    return {*body.inits, *(target for target in targets if isinstance(target, Register))}

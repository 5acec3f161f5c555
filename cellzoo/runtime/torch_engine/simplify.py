"""Optimises the steps of a kernel: copy propagation, common subexpressions, copy coalescing, dead code."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from cellzoo.runtime.program import Op
from cellzoo.runtime.torch_engine.accesses import Accesses
from cellzoo.runtime.torch_engine.operands import Register
from cellzoo.runtime.torch_engine.steps import REDUCTIONS, Body, Step

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cellzoo.runtime.torch_engine.operands import Operand

# Operations with side effects: they also accumulate gradients of parameters.
_WITH_EFFECT = REDUCTIONS | {Op.MIXTURE_BACKWARD, Op.PARAMETER_SCALE_BACKWARD}


def simplify(body: Body) -> Body:
    """Optimise the steps of a kernel, in nearly linear time."""
    steps = _follow_copies(body.steps)
    steps = _compute_once(steps)
    steps = _follow_copies(steps)
    steps = _write_in_place(steps, set(body.inits))
    return replace(body, steps=tuple(_drop_unread(steps)))


def _read_instead(step: Step, mapping: Mapping[Operand, Operand]) -> Step:
    """Replace the operands that a step reads."""
    if mapping.keys().isdisjoint(step.args):
        return step
    return replace(step, args=tuple(mapping.get(arg, arg) for arg in step.args))


def _follow_copies(steps: Sequence[Step]) -> list[Step]:
    """Copy propagation: read the source instead of a copy in a register, if it is not overwritten meanwhile."""
    accesses = Accesses(steps)
    sources: dict[Operand, Operand] = {}
    result = []
    for position, given in enumerate(steps):
        step = _read_instead(given, sources)
        if step.op is Op.COPY and isinstance(step.target, Register):
            source = step.args[0]
            if not accesses.is_written(source, position + 1, accesses.last_read(step.target)):
                sources[step.target] = source
                continue
        result.append(step)
    return result


def _compute_once(steps: Sequence[Step]) -> list[Step]:
    """Common subexpressions: replace a step by a copy if the result of an equal one is still present."""
    last_write: dict[Operand, int] = {}
    # Expression -> (position, target) of the steps that computed it and whose results may still be present.
    computed: dict[tuple[Op, tuple[Operand, ...], int], deque[tuple[int, Operand]]] = {}
    result: list[Step] = []
    for position, given in enumerate(steps):
        step = given
        target = step.target
        if target is not None and step.op is not Op.COPY and step.op not in _WITH_EFFECT:
            earlier = computed.setdefault((step.op, step.args, step.immediate), deque())
            while earlier and any(
                last_write.get(operand, -1) > earlier[0][0] for operand in (*step.args, earlier[0][1])
            ):
                earlier.popleft()
            if earlier and isinstance(target, Register):
                step = Step(Op.COPY, target, (earlier[0][1],))
            elif target not in step.args:
                earlier.append((position, target))
        if target is not None:
            last_write[target] = position
        result.append(step)
    return result


def _write_in_place(steps: Sequence[Step], products: set[Register]) -> list[Step]:
    """Copy coalescing: let a step write directly to the target of a copy of its result."""
    accesses = Accesses(steps)
    places: dict[Operand, Operand] = {}
    result: list[Step | None] = list(steps)
    for position, step in enumerate(steps):
        if step.op is not Op.COPY:
            continue
        source, place = places.get(step.args[0], step.args[0]), step.target
        if not isinstance(source, Register) or source in products:
            continue
        assert place is not None  # noqa: S101 - copies have targets
        made = accesses.first_write(source)
        is_touched = accesses.is_read(place, made + 1, position) or accesses.is_written(
            place, made + 1, position
        )
        if not is_touched and not accesses.is_written(place, position + 1, accesses.last_read(source)):
            maker = result[made]
            assert maker is not None  # noqa: S101 - only copies go
            result[made] = replace(maker, target=place)
            result[position] = None
            places[source] = place
            accesses.drop_copy(position, source, place)
    return [_read_instead(step, places) for step in result if step is not None]


def _drop_unread(steps: Sequence[Step]) -> list[Step]:
    """Dead code: remove steps whose results are not read."""
    read: set[Operand] = set()
    kept = []
    for step in reversed(steps):
        if not isinstance(step.target, Register) or step.op in _WITH_EFFECT or step.target in read:
            kept.append(step)
            read.update(step.args)
    return kept[::-1]

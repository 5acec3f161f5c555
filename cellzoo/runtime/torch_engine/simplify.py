"""Fewer steps for the same values: copies and repetitions go, results are computed where they are kept."""

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

# They add to gradients of parameters beside writing their target.
_WITH_EFFECT = REDUCTIONS | {Op.MIXTURE_BACKWARD, Op.PARAMETER_SCALE_BACKWARD}


def simplify(body: Body) -> Body:
    """Rewrite the steps of a kernel, in time that grows little faster than their number."""
    steps = _follow_copies(body.steps)
    steps = _compute_once(steps)
    steps = _follow_copies(steps)
    steps = _write_in_place(steps, set(body.inits))
    return replace(body, steps=tuple(_drop_unread(steps)))


def _read_instead(step: Step, mapping: Mapping[Operand, Operand]) -> Step:
    """The step with the operands that it reads replaced."""
    if mapping.keys().isdisjoint(step.args):
        return step
    return replace(step, args=tuple(mapping.get(arg, arg) for arg in step.args))


def _follow_copies(steps: Sequence[Step]) -> list[Step]:
    """Read the source of a copy in a register, where it stays what it was as long as the copy is read."""
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
    """Turn a step into a copy where an earlier one gave the same value, and it is still there."""
    last_write: dict[Operand, int] = {}
    # What is computed -> (position, target) of the steps that did, as far as their values may still be there.
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
    """Let a step write right where its result is copied to; products are no step's results."""
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
    read: set[Operand] = set()
    kept = []
    for step in reversed(steps):
        if not isinstance(step.target, Register) or step.op in _WITH_EFFECT or step.target in read:
            kept.append(step)
            read.update(step.args)
    return kept[::-1]

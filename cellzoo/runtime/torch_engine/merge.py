"""Merging of kernels whose products have a common source, if their dependencies permit it."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from typing import TYPE_CHECKING

from cellzoo.runtime.program import NormKind
from cellzoo.runtime.torch_engine.operands import Register

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from cellzoo.runtime.torch_engine.operands import Operand
    from cellzoo.runtime.torch_engine.steps import Body, Factor, Step


def merge(bodies: Iterable[Body]) -> list[Body]:
    """Merge each kernel of a phase into the first one with a common source that its dependencies permit."""
    phase = _Phase()
    for body in bodies:
        phase.add(body)
    return [_joined(group) for group in phase.groups]


class _Phase:
    """The merged kernels of a phase.

    Attributes:
        groups: The merged kernels, in order, each as a list of the original ones.
    """

    def __init__(self) -> None:
        self.groups: list[list[Body]] = []
        self._written: list[set[Operand]] = []
        # Operand -> the last merged kernel that reads, or writes, it.
        self._last_read: dict[Operand, int] = {}
        self._last_write: dict[Operand, int] = {}
        # (width, operand) -> the merged kernels of that width whose products read it, in order.
        self._factors: dict[tuple[str, Operand], list[int]] = {}

    def add(self, body: Body) -> None:
        """Merge a kernel into a previous one, or append it."""
        sources = {factor.source for factor in body.factors}
        read, written = body.read, body.written
        place = self._place(body, sources, read, written)
        if place is None:
            place = len(self.groups)
            self.groups.append([])
            self._written.append(set())
        self.groups[place].append(body)
        self._written[place] |= written
        for operands, last in ((read, self._last_read), (written, self._last_write)):
            for operand in operands:
                last[operand] = max(place, last.get(operand, place))
        for source in sources:
            kernels = self._factors.setdefault((body.width, source), [])
            found = bisect_left(kernels, place)
            if found == len(kernels) or kernels[found] != place:
                kernels.insert(found, place)

    def _place(
        self,
        body: Body,
        sources: AbstractSet[Operand],
        read: AbstractSet[Operand],
        written: AbstractSet[Operand],
    ) -> int | None:
        """The first merged kernel that a kernel can be merged into; None if there is none."""
        # Its steps move before all later kernels, so they must not depend on those.
        conflicts = [self._last_write.get(operand, 0) for operand in read | written]
        conflicts += [self._last_read.get(operand, 0) for operand in written]
        first = max(conflicts, default=0)
        # Its products also move before the steps of the kernel that it is merged into.
        if first < len(self.groups) and not self._written[first].isdisjoint(body.multiplied):
            first += 1
        found = []
        for source in sources:
            kernels = self._factors.get((body.width, source), [])
            index = bisect_left(kernels, first)
            if index < len(kernels):
                found.append(kernels[index])
        return min(found, default=None)


def in_a_row(bodies: Iterable[Body]) -> list[Body]:
    """Merge kernels without products into their predecessors."""
    runs: list[list[Body]] = []
    for body in bodies:
        last = runs[-1][-1] if runs else None
        is_plain = not body.factors and body.norm is NormKind.NONE
        if is_plain and last is not None and last.norm is NormKind.NONE and last.width == body.width:
            runs[-1].append(body)
        else:
            runs.append([body])
    return [_joined(run) for run in runs]


def _joined(bodies: Sequence[Body]) -> Body:
    """Concatenate kernels, with renumbered registers."""
    first = bodies[0]
    if len(bodies) == 1:
        return first
    inits: dict[Register, Operand | None] = {}
    factors: list[Factor] = []
    steps: list[Step] = []
    count = 0
    for body in bodies:
        names = {register: Register(count + register.number) for register in _registers(body)}
        inits.update((names[register], init) for register, init in body.inits.items())
        factors.extend(replace(factor, register=names[factor.register]) for factor in body.factors)
        steps.extend(
            replace(
                step,
                target=None if step.target is None else _new_name(step.target, names),
                args=tuple(_new_name(arg, names) for arg in step.args),
            )
            for step in body.steps
        )
        count += 1 + max((register.number for register in names), default=-1)
    return replace(first, factors=tuple(factors), inits=inits, steps=tuple(steps))


def _new_name(operand: Operand, names: Mapping[Register, Register]) -> Operand:
    return names[operand] if isinstance(operand, Register) else operand


def _registers(body: Body) -> set[Register]:
    targets = {step.target for step in body.steps}
    return {*body.inits, *(target for target in targets if isinstance(target, Register))}

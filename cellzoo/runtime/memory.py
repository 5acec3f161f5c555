"""Assigns the values of a plan to memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cellzoo.cells.graph import INPUT
from cellzoo.runtime.emitter import operands
from cellzoo.runtime.program import (
    Buffer,
    BufferKind,
    Init,
    Kernel,
    Plan,
    View,
    ViewKind,
)

if TYPE_CHECKING:
    from cellzoo.runtime.schedule import Schedule


class Memory:
    """Creates the buffers of values, and views of them.

    Attributes:
        buffers: Index -> buffer.
        views: Index -> view.
    """

    def __init__(self, schedule: Schedule, kept: set[str]) -> None:
        self._schedule = schedule
        self._kept = kept
        self.buffers: list[Buffer] = []
        self.views: list[View] = []
        self._buffer_of: dict[tuple[BufferKind, str], int] = {}
        self._view_of: dict[View, int] = {}
        self._states = list(schedule.graph.states)

    def home(self, name: str) -> int | None:
        """View of the buffer that a computed value is stored in, or None if it stays in a register."""
        value = self._schedule.values[name]
        if name in self._kept or (self._schedule.is_early(name) and self._schedule.is_shared(name)):
            return self._rows(BufferKind.ALL, name, value.width)
        if self._schedule.is_shared(name):
            return self._rows(BufferKind.STEP, name, value.width)
        if name in self._schedule.graph.nexts:
            return self.state_out(self._schedule.graph.nexts.index(name))
        return None

    def view(self, name: str) -> int:
        """View of x, of a state before the step, or of a value that is stored in a buffer."""
        if name == INPUT:
            return self._rows(BufferKind.INPUT, name, self._schedule.graph.input_width)
        if name in self._states:
            return self._state(BufferKind.STATE, ViewKind.STATE_IN, self._states.index(name))
        home = self.home(name)
        assert home is not None, name  # noqa: S101 - only shared or kept values are looked for
        return home

    def is_kept(self, name: str) -> bool:
        """Whether a value is kept at every row for the backward pass."""
        return name in self._kept

    def state_out(self, index: int) -> int:
        """View of the state after the step."""
        return self._state(BufferKind.STATE, ViewKind.STATE_OUT, index)

    def carry_in(self, index: int) -> int:
        """View of the gradient of the state after the step."""
        return self._state(BufferKind.CARRY, ViewKind.CARRY_IN, index)

    def carry_out(self, index: int) -> int:
        """View of the gradient of the state before the step."""
        return self._state(BufferKind.CARRY, ViewKind.CARRY_OUT, index)

    def gradient(self, name: str, width: str, *, all_rows: bool) -> int:
        """View of the gradient of a value, for all rows or only for those of the current step."""
        return self._rows(BufferKind.ALL if all_rows else BufferKind.STEP, f"d {name}", width)

    def statistics(self, name: str, width: str) -> int:
        """View of 1 / standard deviation of a normalised value; only the first row of each step is used."""
        return self._rows(BufferKind.ALL, f"1/std {name}", width)

    def _rows(self, kind: BufferKind, label: str, width: str) -> int:
        return self._view(ViewKind.ROWS, Buffer(kind, width, label=label))

    def _state(self, kind: BufferKind, view: ViewKind, index: int) -> int:
        name = self._states[index]
        return self._view(view, Buffer(kind, self._schedule.graph.states[name], index, name))

    def _view(self, kind: ViewKind, buffer: Buffer) -> int:
        key = (buffer.kind, buffer.label)
        if key not in self._buffer_of:
            self._buffer_of[key] = len(self.buffers)
            self.buffers.append(buffer)
        view = View(kind, self._buffer_of[key])
        if view not in self._view_of:
            self._view_of[view] = len(self.views)
            self.views.append(view)
        return self._view_of[view]


def share_buffers(plan: Plan) -> Plan:
    """Let buffers for all rows share memory if the lifetime of one ends before the other is written.

    An elementwise instruction may overwrite its operands. The sources of products are never overwritten, as
    other threads may still read them.
    """
    first, last = _lifetimes(plan)
    slots: list[tuple[int, Buffer]] = []  # (position of the last use, shared buffer)
    slot_of: dict[int, int] = {}
    for index in sorted(first, key=lambda index: first[index]):
        buffer = plan.buffers[index]
        slot = next(
            (
                number
                for number, (end, other) in enumerate(slots)
                if end <= first[index] and other.width == buffer.width
            ),
            None,
        )
        if slot is None:
            slot_of[index] = len(slots)
            slots.append((last[index], buffer))
        else:
            slot_of[index] = slot
            kept = slots[slot][1]
            slots[slot] = (last[index], replace(kept, label=f"{kept.label}, {buffer.label}"))
    others = [index for index, buffer in enumerate(plan.buffers) if index not in slot_of]
    buffers = [slot for _, slot in slots]
    for index in others:
        slot_of[index] = len(buffers)
        buffers.append(plan.buffers[index])
    views = tuple(replace(view, buffer=slot_of[view.buffer]) for view in plan.views)
    return replace(plan, buffers=tuple(buffers), views=views)


def _lifetimes(plan: Plan) -> tuple[dict[int, int], dict[int, int]]:
    """Positions of the first and the last use of each buffer for all rows, in the order of execution."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    forever = 2**62

    def touch(view: int, position: int) -> None:
        buffer = plan.views[view].buffer
        if plan.buffers[buffer].kind is BufferKind.ALL:
            first.setdefault(buffer, position)
            last[buffer] = max(last.get(buffer, position), position)

    position = 0
    for kernel in kernels_in_order(plan):
        position += 1
        for dot in kernel.dots:
            touch(dot.source, forever)
            for product in dot.products:
                if product.init is Init.VIEW:
                    touch(product.init_index, position)
        for view in kernel.norm_views:
            touch(view, position)
            touch(view, forever)
        for instruction in kernel.program:
            position += 1
            for operand in (*operands(instruction), instruction.target):
                if -len(plan.views) <= operand < 0:
                    touch(-1 - operand, position)
    for gradient in plan.weight_gradients:
        touch(gradient.delta, forever)
        touch(gradient.source, forever)
    return first, last


def kernels_in_order(plan: Plan) -> tuple[Kernel, ...]:
    """All kernels, in the order of execution for a row of the batch."""
    return (*plan.forward_input, *plan.forward_step, *plan.backward_step, *plan.backward_input)

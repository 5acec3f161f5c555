"""Compiles a graph to a plan. Forward kernels are emitted here, backward kernels in `adjoint`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from cellzoo.cells.graph import HIDDEN_WIDTH, INPUT_WIDTH
from cellzoo.cells.ops import LINEAR
from cellzoo.runtime.adjoint import Backward
from cellzoo.runtime.emitter import Emitter, view_operand
from cellzoo.runtime.graph import NORM, cell_graph
from cellzoo.runtime.memory import Memory, share_buffers
from cellzoo.runtime.program import Init, Kernel, NormKind, Op, Plan
from cellzoo.runtime.rules import compute
from cellzoo.runtime.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Callable

    from cellzoo.cells.cell import Cell
    from cellzoo.runtime.graph import Graph, Value
    from cellzoo.runtime.schedule import Group


@dataclass(frozen=True)
class Variant:
    """The kind of a call, each of which has its own plan; attributes as in `build_plan`."""

    training: bool
    masked_x: bool
    masked_h: bool
    input_gradient: bool


Plans: TypeAlias = "Callable[[Variant], Plan]"
"""The plans of a model, such as a cell or a supernet, by variant. All have the same weights and states.

Hashable, as engines cache what they prepare."""


@lru_cache(maxsize=512)
def build_plan(
    cell: Cell,
    *,
    training: bool = True,
    masked_x: bool = False,
    masked_h: bool = False,
    input_gradient: bool = True,
) -> Plan:
    """Build the plan of a cell.

    Args:
        cell: The cell.
        training: Whether the plan has a backward pass, and keeps the values that it needs.
        masked_x: Whether there is a mask on values of x's width where they are factors of a matrix product.
        masked_h: The same for values of the hidden width.
        input_gradient: Whether the backward pass computes the gradient of x.
    """
    graph = cell_graph(cell, masked_x=masked_x, masked_h=masked_h)
    return plan_graph(graph, training=training, input_gradient=input_gradient)


def cell_plans(cell: Cell) -> Plans:
    """The plans of a cell."""

    def plans(variant: Variant) -> Plan:
        return build_plan(
            cell,
            training=variant.training,
            masked_x=variant.masked_x,
            masked_h=variant.masked_h,
            input_gradient=variant.input_gradient,
        )

    return plans


def plan_graph(graph: Graph, *, training: bool = True, input_gradient: bool = True) -> Plan:
    """Build the plan of a graph; arguments as in `build_plan`."""
    schedule = Schedule(graph)
    kept = schedule.kept(input_gradient=input_gradient) if training else set()
    memory = Memory(schedule, kept)
    constants: list[float] = []
    forward = Forward(schedule, memory, constants)
    early = tuple(kernel for group in schedule.groups if group.early for kernel in forward.kernels(group))
    forward.start_of_steps()
    steps = tuple(kernel for group in schedule.groups if not group.early for kernel in forward.kernels(group))
    backward = Backward(schedule, memory, constants, input_gradient=input_gradient) if training else None
    backward_steps = backward.step_kernels() if backward else ()
    backward_input = backward.input_kernels() if backward else ()
    weight_gradients = backward.weight_gradients() if backward else ()
    plan = Plan(
        states=tuple(graph.states.values()),
        output_width=schedule.values[graph.output].width,
        buffers=tuple(memory.buffers),
        views=tuple(memory.views),
        weights=tuple(graph.weights),
        weight_widths=tuple(graph.weights.values()),
        num_parameters=graph.num_parameters,
        forward_input=early,
        forward_step=steps,
        backward_step=backward_steps,
        backward_input=backward_input,
        weight_gradients=weight_gradients,
        constants=tuple(constants),
    )
    return share_buffers(plan)


def plan_sizes(plan: Plan, *, input_size: int, hidden_size: int) -> dict[str, int]:
    """Number of units of each width in a plan."""
    known = {INPUT_WIDTH: input_size, HIDDEN_WIDTH: hidden_size}
    return {width: known[width] if width in known else int(width) for width in plan.widths}


class Forward:
    """Emits the kernels of the forward pass."""

    def __init__(self, schedule: Schedule, memory: Memory, constants: list[float]) -> None:
        self._schedule = schedule
        self._memory = memory
        self._constants = constants
        self._weight_index = {name: index for index, name in enumerate(schedule.graph.weights)}
        self._unseen: set[int] = set()
        self._is_first = False

    def start_of_steps(self) -> None:
        """Begin the step phase; its first kernel has a barrier, as it reads results of the previous step."""
        self._is_first = True

    def kernels(self, group: Group) -> list[Kernel]:
        """Emit the kernels of a group; none if it has only x or states."""
        if not group.values:
            return []
        if group.values[0].op == NORM:
            return [self._norm(group.values[0])]
        emitter = Emitter(group.width, self._constants)
        places: dict[str, int] = {}
        for value in group.values:
            if value.op == LINEAR:
                places[value.name] = self._product(emitter, value)
        for value in group.values:
            if value.op == LINEAR:
                home = self._memory.home(value.name)
                if home is not None:
                    emitter.emit(Op.COPY, places[value.name], target=view_operand(home))
            else:
                self._compute(emitter, value, places)
            self._store_results(emitter, value, places[value.name])
        barrier = self._is_first or bool(emitter.sources & self._unseen)
        if barrier:
            self._unseen.clear()
            self._is_first = False
        self._unseen |= {home for value in group.values if (home := self._memory.home(value.name)) is not None}
        return [emitter.finish(group.label, barrier=barrier)]

    def _norm(self, value: Value) -> Kernel:
        home = self._memory.view(value.name)
        views = (self._memory.view(value.inputs[0]), home, self._memory.statistics(value.name, value.width))
        self._unseen.add(home)
        return Kernel(value.width, value.name, False, 0, (), (), NormKind.FORWARD, views)

    def _product(self, emitter: Emitter, value: Value) -> int:
        register = emitter.register()
        if value.start is not None:
            init, index = Init.VIEW, self._memory.view(value.start)
        elif value.bias is not None:
            init, index = Init.VECTOR, self._weight_index[value.bias]
        else:
            init, index = Init.ZERO, 0
        for source, weight in zip(value.inputs, value.weights, strict=True):
            emitter.product(
                register,
                self._memory.view(source),
                self._weight_index[weight],
                transposed=False,
                init=init,
                index=index,
            )
        return register

    def _compute(self, emitter: Emitter, value: Value, places: dict[str, int]) -> None:
        home = self._memory.home(value.name)
        operands = [self._operand(emitter, source, places) for source in value.inputs]
        target = None if home is None else view_operand(home)
        places[value.name] = compute(emitter, value, operands, 0, target)

    def _operand(self, emitter: Emitter, name: str, places: dict[str, int]) -> int:
        if name not in places:
            value = self._schedule.values.get(name)
            if value is not None and value.is_leaf:
                weight = self._weight_index[value.weights[0]] if value.weights else 0
                places[name] = compute(emitter, value, (), weight)
            else:
                places[name] = view_operand(self._memory.view(name))
        return places[name]

    def _store_results(self, emitter: Emitter, value: Value, place: int) -> None:
        """Store a value as the next value of states, and as the output, if it is such."""
        graph = self._schedule.graph
        for index, name in enumerate(graph.nexts):
            target = view_operand(self._memory.state_out(index))
            if name == value.name and place != target:
                emitter.emit(Op.COPY, place, target=target)
        if value.name == graph.output:
            emitter.emit(Op.STORE_ROWS, place)

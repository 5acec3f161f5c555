"""The backward pass of a plan, by reverse-mode differentiation of the groups of the forward pass.

The gradient of a value is the sum over its readers: products with the deltas of linear values that read it,
gradients computed in the same kernel, and gradients that other kernels have written to memory. A delta, the
gradient of a linear value, is kept for all rows, as the weight gradients are large products over all rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellzoo.cells.graph import INPUT
from cellzoo.cells.ops import LINEAR
from cellzoo.runtime.emitter import Emitter, view_operand
from cellzoo.runtime.graph import MASK, NORM
from cellzoo.runtime.program import Init, Kernel, NormKind, Op, WeightGradient
from cellzoo.runtime.rules import RESULT, compute, differentiate

if TYPE_CHECKING:
    from cellzoo.runtime.graph import Value
    from cellzoo.runtime.memory import Memory
    from cellzoo.runtime.schedule import Group, Schedule


class Backward:
    """Emits the kernels of the backward pass, and the weight gradients."""

    def __init__(
        self, schedule: Schedule, memory: Memory, constants: list[float], *, input_gradient: bool
    ) -> None:
        self.schedule = schedule
        self.memory = memory
        self.constants = constants
        self.differentiable = schedule.differentiable(input_gradient=input_gradient)
        self.weight_index = {name: index for index, name in enumerate(schedule.graph.weights)}
        self.states = list(schedule.graph.states)
        self.owner = {value.start: value.name for value in schedule.graph.values if value.start is not None}
        self.written: dict[str, int] = {}
        self._unseen: set[int] = set()
        self._is_first = False

    def step_kernels(self) -> tuple[Kernel, ...]:
        """The kernels of one step of the backward pass."""
        self._is_first = True
        groups = [group for group in reversed(self.schedule.groups) if not group.early]
        kernels = [kernel for group in groups for kernel in self._kernels(group)]
        return tuple(kernels)

    def input_kernels(self) -> tuple[Kernel, ...]:
        """The kernels over all rows, after the steps of the backward pass."""
        groups = [group for group in reversed(self.schedule.groups) if group.early]
        return tuple(kernel for group in groups for kernel in self._kernels(group))

    def weight_gradients(self) -> tuple[WeightGradient, ...]:
        """The products that compute the gradients of the matrices."""
        gradients = []
        for value in self.schedule.graph.values:
            if value.op != LINEAR:
                continue
            for source, weight in zip(value.inputs, value.weights, strict=True):
                mask = None
                factor = self.schedule.values.get(source)
                if factor is not None and factor.op == MASK and not self.schedule.is_early(source):
                    source, mask = factor.inputs[0], factor.immediate
                gradients.append(
                    WeightGradient(self.weight_index[weight], self.delta(value), self.memory.view(source), mask)
                )
        return tuple(gradients)

    def delta(self, value: Value) -> int:
        """View of a linear value's gradient; the part that reads x shares it with the value that adds to it."""
        return self.memory.gradient(self.owner.get(value.name, value.name), value.width, all_rows=True)

    def external_gradient(self, name: str, *, early: bool) -> int:
        """View to which kernels other than its own write gradients of a value; `early` is the input phase."""
        if name in self.states:
            return self.memory.carry_out(self.states.index(name))
        width = self.schedule.graph.input_width if name == INPUT else self.schedule.values[name].width
        return self.memory.gradient(name, width, all_rows=early)

    def _kernels(self, group: Group) -> list[Kernel]:
        names = [name for name in group.sources if name in self.differentiable]
        values = [value for value in group.values if value.name in self.differentiable]
        values = [value for value in values if value.name not in self.owner]
        if not names and not values:
            return []
        writer = _Writer(self, group)
        for value in reversed(values):
            writer.differentiate(value)
        for name in names:
            writer.finish_source(name)
        emitter = writer.emitter
        if emitter.is_empty:
            return []
        barrier = self._is_first or bool(emitter.sources & self._unseen)
        if barrier:
            self._unseen.clear()
            self._is_first = False
        self._unseen |= writer.deltas
        kernels = [emitter.finish(f"d {group.label}", barrier=barrier)]
        kernels.extend(self._norm(value) for value in values if value.op == NORM)
        return kernels

    def _norm(self, value: Value) -> Kernel:
        source = value.inputs[0]
        target = self.external_gradient(source, early=False)
        assert source not in self.written  # noqa: S101 - a norm is the only reader of its input
        self.written[source] = target
        views = (
            self.memory.gradient(value.name, value.width, all_rows=False),
            self.memory.view(value.name),
            self.memory.statistics(value.name, value.width),
            target,
        )
        return Kernel(value.width, f"d {value.name}", False, 0, (), (), NormKind.BACKWARD, views)


class _Writer:
    """Emits the backward kernel of one group."""

    def __init__(self, backward: Backward, group: Group) -> None:
        self.emitter = Emitter(group.width, backward.constants)
        self.deltas: set[int] = set()
        self._backward = backward
        self._schedule = backward.schedule
        self._memory = backward.memory
        self._group = group
        self._members = {*group.sources, *(value.name for value in group.values)}
        self._gradients: dict[str, list[int]] = {}
        self._places: dict[str, int] = {}
        self._products = {
            name: self._product(name)
            for name in (*group.sources, *(value.name for value in group.values))
            if name in backward.differentiable and name not in backward.owner and name in self._schedule.readers
        }

    def differentiate(self, value: Value) -> None:
        """Propagate the gradient of one of the group's values to its inputs."""
        gradient = self._total(value.name)
        assert gradient is not None, value.name  # noqa: S101 - every live value leads to an output or state
        if value.op == LINEAR:
            self._finish_linear(value, gradient)
            return
        if value.op == NORM:
            view = self._memory.gradient(value.name, value.width, all_rows=False)
            self._put(gradient, view_operand(view))
            return
        wanted = [index for index, source in enumerate(value.inputs) if source in self._backward.differentiable]

        def known(index: int) -> int:
            return self._place(value.name if index == RESULT else value.inputs[index])

        for index, share in differentiate(self.emitter, value, gradient, known, wanted):
            self._give(value.inputs[index], share, is_new=share != gradient)

    def finish_source(self, name: str) -> None:
        """Store the gradient of x or of a state."""
        if name == INPUT:
            total = self._total(name)
            if total is None:
                total = self.emitter.emit(Op.FILL, immediate=self.emitter.constant(0.0))
            self.emitter.emit(Op.STORE_ROWS, total, immediate=1)
            return
        target = view_operand(self._memory.carry_out(self._backward.states.index(name)))
        total = self._total(name)
        if total is None:
            self.emitter.emit(Op.FILL, immediate=self.emitter.constant(0.0), target=target)
        elif total != target:
            self._put(total, target)

    def _product(self, name: str) -> int:
        """Emit the products of a value's gradient with the deltas of its readers; returns their register."""
        register = self.emitter.register()
        memory = self._in_memory(name)
        init, index = (Init.VIEW, memory[0]) if memory else (Init.ZERO, 0)
        self._gradients[name] = [register, *(view_operand(view) for view in memory[1:])]
        for reader in self._schedule.readers[name]:
            for source, weight in zip(reader.inputs, reader.weights, strict=True):
                if source == name:
                    self.emitter.product(
                        register,
                        self._backward.delta(reader),
                        self._backward.weight_index[weight],
                        transposed=True,
                        init=init,
                        index=index,
                    )
        return register

    def _in_memory(self, name: str) -> list[int]:
        """Views of a value's gradients that other kernels have written before its own begins."""
        graph = self._schedule.graph
        found = [self._backward.written[name]] if name in self._backward.written else []
        found += [self._memory.carry_in(index) for index, value in enumerate(graph.nexts) if value == name]
        return found

    def _total(self, name: str) -> int | None:
        """Emit the sum of all gradients of a value; None if there are none."""
        if name in self._products:
            parts = self._gradients[name]
        else:
            parts = [
                *(view_operand(view) for view in self._in_memory(name)),
                *self._gradients.get(name, []),
            ]
        if name == self._schedule.graph.output:
            parts = [*parts, self.emitter.emit(Op.LOAD_ROWS)]
        if not parts:
            return None
        total = parts[0]
        for part in parts[1:]:
            total = self.emitter.emit(Op.ADD, total, part)
        return total

    def _finish_linear(self, value: Value, gradient: int) -> None:
        delta = self._backward.delta(value)
        target = view_operand(delta)
        if gradient != target:
            self._put(gradient, target)
        self.deltas.add(delta)
        start = self._schedule.values.get(value.start) if value.start is not None else None
        bias = value.bias if start is None else start.bias
        if bias is not None:
            self.emitter.emit(Op.REDUCE_ROWS, target, immediate=self._backward.weight_index[bias])

    def _give(self, name: str, share: int, *, is_new: bool) -> None:
        """Add a share to the gradient of a value of this kernel or another one, or of a weight."""
        value = self._schedule.values.get(name)
        if value is not None and value.is_leaf:
            op = Op.REDUCE_ROWS if value.op == "vector" else Op.REDUCE_ALL
            self.emitter.emit(op, share, immediate=self._backward.weight_index[value.weights[0]])
        elif name in self._members:
            if value is not None and value.op == LINEAR and self._is_only_share(name):
                # It is the whole delta, so the instruction that computes it can store it directly.
                view = self._backward.delta(value)
                if is_new:
                    self.emitter.move(share, view_operand(view))
                    share = view_operand(view)
            self._gradients.setdefault(name, []).append(share)
        else:
            view = self._backward.external_gradient(name, early=self._schedule.is_early(name))
            target = view_operand(view)
            if name in self._backward.written:
                self.emitter.emit(Op.ADD, target, share, target=target)
            elif is_new:
                self.emitter.move(share, target)
            else:
                self.emitter.emit(Op.COPY, share, target=target)
            self._backward.written[name] = view

    def _put(self, operand: int, target: int) -> None:
        """Store a gradient; if several values share it, it stays in its register, too."""
        owners = sum(shares.count(operand) for shares in self._gradients.values())
        if owners > 1:
            self.emitter.emit(Op.COPY, operand, target=target)
        else:
            self.emitter.move(operand, target)

    def _is_only_share(self, name: str) -> bool:
        graph = self._schedule.graph
        reads = sum(value.inputs.count(name) for value in graph.values)
        return reads == 1 and name != graph.output and name not in graph.nexts

    def _place(self, name: str) -> int:
        """The operand of a forward value: a view if it was kept, else a register in which it is recomputed."""
        waiting = [name]
        while waiting:
            value = self._schedule.values.get(waiting[-1])
            if value is None or self._memory.is_kept(value.name):
                self._places[waiting[-1]] = view_operand(self._memory.view(waiting[-1]))
            elif missing := [source for source in value.inputs if source not in self._places]:
                waiting.extend(reversed(missing))
                continue
            elif value.name not in self._places:
                inputs = [self._places[source] for source in value.inputs]
                weight = self._backward.weight_index[value.weights[0]] if value.weights else 0
                self._places[value.name] = compute(self.emitter, value, inputs, weight)
            waiting.pop()
        return self._places[name]

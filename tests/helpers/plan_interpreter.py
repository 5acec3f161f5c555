"""Runs plans literally, in plain torch: the truth that planners are held against.

Memory that a plan has not written holds NaN, as do the rows of a step's buffers once the step is over. Beside
the numbers it watches the owners: a kernel's units are shared out among threads, so what a product reads must
be complete, and must not be overwritten before every owner has passed a barrier.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from cellzoo.runtime.plan import plan_sizes
from cellzoo.runtime.program import (
    UNUSED,
    BufferKind,
    Init,
    NormKind,
    Op,
    Plan,
    ViewKind,
)

if TYPE_CHECKING:
    from engine_cases import Case, Tensors

SCALE, ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
STORES = {Op.STORE_ROWS, Op.REDUCE_ROWS, Op.REDUCE_ALL}
ELEMENTWISE = {
    Op.COPY: lambda a: a.clone(),
    Op.SIGMOID: torch.sigmoid,
    Op.TANH: torch.tanh,
    Op.RELU: torch.relu,
    Op.LEAKY_RELU: lambda a: F.leaky_relu(a, 0.01),
    Op.SELU: torch.selu,
    Op.ADD: torch.add,
    Op.SUBTRACT: torch.sub,
    Op.MULTIPLY: torch.mul,
    Op.DIVIDE: torch.div,
    Op.MINIMUM: torch.minimum,
    Op.MAXIMUM: torch.maximum,
    Op.EXP: torch.exp,
    Op.SOFTPLUS: lambda a: torch.logaddexp(a, torch.zeros_like(a)),
    Op.SQRT: torch.sqrt,
    Op.HARD_SIGMOID: lambda a: (a / 6 + 0.5).clamp(0, 1),
    Op.BLEND: lambda z, a, b: b + z * (a - b),
    Op.MULTIPLY_ADD: lambda a, b, c: a * b + c,
    Op.NEGATE: torch.neg,
    Op.SIGMOID_BACKWARD: lambda g, s: g * s * (1 - s),
    Op.TANH_BACKWARD: lambda g, t: g * (1 - t * t),
    Op.RELU_BACKWARD: lambda g, o: torch.where(o <= 0, 0.0, g),
    Op.LEAKY_RELU_BACKWARD: lambda g, o: torch.where(o > 0, g, 0.01 * g),
    Op.SELU_BACKWARD: lambda g, o: g * torch.where(o > 0, SCALE, o + SCALE * ALPHA),
    Op.BLEND_BACKWARD: lambda g, a, b: g * (a - b),
    Op.MINIMUM_BACKWARD: lambda g, a, b: torch.where(a == b, g / 2, torch.where(a > b, 0.0, g)),
    Op.MAXIMUM_BACKWARD: lambda g, a, b: torch.where(a == b, g / 2, torch.where(a < b, 0.0, g)),
    Op.SOFTPLUS_BACKWARD: lambda g, o: g * -torch.expm1(-o),
    Op.HARD_SIGMOID_BACKWARD: lambda g, o: torch.where((o > 0) & (o < 1), g / 6, 0.0),
    Op.SQRT_BACKWARD: lambda g, o: g / (2 * o),
}


@dataclass
class Owners:
    """What products have read, and what was written, since the last barrier."""

    read: set = field(default_factory=set)
    written: set = field(default_factory=set)

    def barrier(self) -> None:
        self.read.clear()
        self.written.clear()

    def product_reads(self, place) -> None:
        assert place not in self.written, f"a product reads {place}, which not every owner may have written"
        self.read.add(place)

    def writes(self, place) -> None:
        assert place not in self.read, f"{place} is overwritten while other owners may still read it"
        self.written.add(place)


class Interpreter:
    """One call of a plan: forward, and backward where the plan has that."""

    def __init__(self, plan: Plan, case: Case, tensors: Tensors) -> None:
        self.plan, self.case, self.tensors = plan, case, tensors
        self.sizes = plan_sizes(plan, input_size=case.input_size, hidden_size=case.hidden_size)
        self.rows, self.batch, self.steps = sum(case.batch_sizes), case.batch_sizes[0], len(case.batch_sizes)
        self.offsets = [sum(case.batch_sizes[:step]) for step in range(self.steps)]
        self.order = list(range(self.steps))[:: -1 if case.reverse else 1]
        self.weights = [tensors.weights.get(name) for name in plan.weights]
        self.gradients = [None if weight is None else torch.zeros_like(weight) for weight in self.weights]
        self.outputs = self._unknown(self.rows, case.hidden_size)
        self.input_gradient = self._unknown(self.rows, case.input_size)
        self.memory = {
            number: self._unknown({BufferKind.ALL: self.rows, BufferKind.STEP: self.batch}[buffer.kind], size)
            for number, buffer in enumerate(plan.buffers)
            if buffer.kind in (BufferKind.ALL, BufferKind.STEP)
            for size in [self.sizes[buffer.width]]
        }
        # The value of each state, and its gradient, at the start of every processed step, and after the last.
        self.states = [self._unknown_steps(width) for width in plan.states]
        self.carries = [self._unknown_steps(width) for width in plan.states]
        self.owners = Owners()

    def _unknown(self, rows, size):
        return torch.full((rows, size), float("nan"), dtype=torch.float64)

    def _unknown_steps(self, width):
        return [self._unknown(self.batch, self.sizes[width]) for _ in range(self.steps + 1)]

    def run(self) -> dict[str, torch.Tensor]:
        """Outputs, final states and all gradients, named as `engine_cases.results` does."""
        for kernel in self.plan.forward_input:
            self._kernel(kernel, None)
        finals = self._walk(self.plan.forward_step, range(self.steps), self.states, self.tensors.states, 1)
        found = {"outputs": self.outputs}
        found |= {f"final {name}": final for name, final in zip(self.tensors.states, finals, strict=True)}
        if not self.plan.backward_step:
            return found
        given = {name: self.tensors.gradients[f"final {name}"] for name in self.tensors.states}
        backwards = range(self.steps - 1, -1, -1)
        initials = self._walk(self.plan.backward_step, backwards, self.carries, given, -1)
        self.owners.barrier()
        for kernel in self.plan.backward_input:
            self._kernel(kernel, None)
        for item in self.plan.weight_gradients:
            self._weight_gradient(item)
        found["gradient of x"] = self.input_gradient
        found |= {f"gradient of {name}": each for name, each in zip(self.tensors.states, initials, strict=True)}
        names = zip(self.plan.weights, self.gradients, strict=True)
        return found | {f"gradient of weight {name}": each for name, each in names if each is not None}

    def _walk(self, kernels, orders, values, given, way):
        """Run steps; rows that begin take what is given, and rows that end leave what they have."""
        left = [tensor.clone() for tensor in given.values()]
        before = 0
        for order in orders:
            rows = self.case.batch_sizes[self.order[order]]
            start, end = (order, order + 1) if way == 1 else (order + 1, order)
            for number, tensor in enumerate(given.values()):
                values[number][start][before:rows] = tensor[before:rows]
            self.owners.written |= {self._slot(values, number, start) for number in range(len(given))}
            for number, buffer in enumerate(self.plan.buffers):
                if buffer.kind is BufferKind.STEP:
                    self.memory[number].fill_(float("nan"))
            for kernel in kernels:
                self._kernel(kernel, order)
            after = order + way
            still = self.case.batch_sizes[self.order[after]] if 0 <= after < self.steps else 0
            for number, tensor in enumerate(left):
                tensor[still:rows] = values[number][end][still:rows]
            before = rows
        return left

    def _place(self, view, order):
        """Which memory a view is in, for the watch on owners, and the rows themselves."""
        found = self.plan.views[view]
        buffer = self.plan.buffers[found.buffer]
        step = None if order is None else self.order[order]
        packed = slice(0, self.rows)
        if step is not None:
            packed = slice(self.offsets[step], self.offsets[step] + self.case.batch_sizes[step])
        rows = slice(0, packed.stop - packed.start)
        if found.kind is ViewKind.ROWS:
            if buffer.kind is BufferKind.INPUT:
                return "x", self.tensors.inputs[packed]
            if buffer.kind is BufferKind.ALL:
                # Each step has rows of its own, so only this step's matter.
                return (found.buffer, order), self.memory[found.buffer][packed]
            assert order is not None, "the memory of a step is read in the input phase"
            return found.buffer, self.memory[found.buffer][rows]
        values = self.states if buffer.kind is BufferKind.STATE else self.carries
        at = order + (found.kind in (ViewKind.STATE_OUT, ViewKind.CARRY_IN))
        return self._slot(values, buffer.index, at), values[buffer.index][at][rows]

    def _slot(self, values, number, at):
        """Engines use two places in turn, unless they keep all."""
        return ("state" if values is self.states else "carry", number, at % 2)

    def _kernel(self, kernel, order):
        if kernel.barrier:
            self.owners.barrier()
        if kernel.norm is not NormKind.NONE:
            raise NotImplementedError("cells have no norms")
        rows = self.rows if order is None else self.case.batch_sizes[self.order[order]]
        registers = [self._unknown(rows, self.sizes[kernel.width]) for _ in range(kernel.registers)]
        started = set()
        for dot in kernel.dots:
            place, source = self._place(dot.source, order)
            if order is not None:
                self.owners.product_reads(place)
            for product in dot.products:
                weight = self.weights[product.weight]
                result = source @ (weight if product.transposed else weight.T)
                assert (product.register in started) == (product.init is Init.ACCUMULATE)
                started.add(product.register)
                registers[product.register] = result + self._initial(product, registers, order)
        for step in kernel.program:
            self._instruction(step, kernel, registers, order)

    def _initial(self, product, registers, order):
        if product.init is Init.ACCUMULATE:
            return registers[product.register]
        if product.init is Init.VIEW:
            return self._place(product.init_index, order)[1]
        weight = self.weights[product.init_index] if product.init is Init.VECTOR else None
        return 0.0 if weight is None else weight

    def _instruction(self, step, kernel, registers, order):
        def value(operand):
            return registers[operand] if operand >= 0 else self._place(-1 - operand, order)[1]

        given = [value(operand) for operand in (step.a, step.b, step.c) if operand != UNUSED]
        if step.op in STORES:
            self._store(step, given[0], order)
            return
        result = self._result(step, given, registers, kernel, order)
        if step.target >= 0:
            registers[step.target] = result
            return
        place, target = self._place(-1 - step.target, order)
        if order is not None:
            self.owners.writes(place)
        target.copy_(result)

    def _result(self, step, given, registers, kernel, order):
        if step.op in ELEMENTWISE:
            return ELEMENTWISE[step.op](*given)
        if step.op is Op.SCALE:
            return given[0] * self.plan.constants[step.immediate]
        rows = self.rows if order is None else self.case.batch_sizes[self.order[order]]
        if step.op is Op.FILL:
            value = self.plan.constants[step.immediate]
            return torch.full((rows, self.sizes[kernel.width]), value, dtype=torch.float64)
        if step.op in (Op.VECTOR, Op.SCALAR):
            return self.weights[step.immediate].expand(rows, self.sizes[kernel.width]).clone()
        if step.op is Op.MASK:
            return self._mask(step.immediate, order)
        if step.op is Op.LOAD_ROWS:
            return self._rows(self.tensors.gradients["outputs"], order).clone()
        raise AssertionError(step.op)

    def _store(self, step, value, order):
        if step.op is Op.STORE_ROWS:
            self._rows((self.outputs, self.input_gradient)[step.immediate], order).copy_(value)
        elif self.gradients[step.immediate] is not None:
            self.gradients[step.immediate] += value.sum(0) if step.op is Op.REDUCE_ROWS else value.sum()

    def _rows(self, packed, order):
        if order is None:
            return packed
        step = self.order[order]
        return packed[self.offsets[step] : self.offsets[step] + self.case.batch_sizes[step]]

    def _mask(self, number, order):
        mask = (self.tensors.mask_x, self.tensors.mask_h)[number]
        if order is not None:
            return mask[: self.case.batch_sizes[self.order[order]]]
        return torch.cat([mask[:rows] for rows in self.case.batch_sizes])

    def _weight_gradient(self, item):
        if self.gradients[item.weight] is None:
            return
        delta, source = self._all_rows(item.delta), self._all_rows(item.source)
        if item.mask is not None:
            source = source * self._mask(item.mask, None)
        self.gradients[item.weight] += delta.T @ source

    def _all_rows(self, view):
        """A view at all packed rows, as the steps saw them."""
        if self.plan.views[view].kind is ViewKind.ROWS:
            return self._place(view, None)[1]
        steps = sorted(range(self.steps), key=lambda order: self.order[order])
        return torch.cat([self._place(view, order)[1] for order in steps])

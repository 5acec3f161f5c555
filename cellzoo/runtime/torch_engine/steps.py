"""The engine's intermediate representation of kernels, in which each register is written once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellzoo.runtime.program import UNUSED, BufferKind, Init, NormKind, Op
from cellzoo.runtime.torch_engine.operands import (
    Biases,
    BufferColumns,
    ConstantRows,
    External,
    MaskRows,
    Register,
    StateRows,
    WeightRows,
)

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from cellzoo.runtime.program import Instruction, Kernel, Plan
    from cellzoo.runtime.torch_engine.operands import Operand

REDUCTIONS = frozenset({Op.REDUCE_ROWS, Op.REDUCE_ALL})
# How many of the operands of a normalisation are read; the others are written.
_NORM_READS = {NormKind.NONE: 0, NormKind.FORWARD: 1, NormKind.BACKWARD: 3}


@dataclass(frozen=True)
class Step:
    """An elementwise operation. Loads and stores are copies; reductions have no target."""

    op: Op
    target: Operand | None
    args: tuple[Operand, ...]
    immediate: int = 0


@dataclass(frozen=True)
class Factor:
    """A product that is added to a register: source @ weight^T, or source @ weight if transposed."""

    source: Operand
    register: Register
    weight: int
    transposed: bool


@dataclass(frozen=True)
class Body:
    """A kernel: products, then steps; or a normalisation.

    Attributes:
        width: Of the kernel.
        factors: The products, in order.
        inits: Register -> initial value of its sum, or None for zero.
        steps: The elementwise operations, in order.
        norm: Whether it is a normalisation.
        norm_places: As `Kernel.norm_views`.
    """

    width: str
    factors: tuple[Factor, ...]
    inits: dict[Register, Operand | None]
    steps: tuple[Step, ...]
    norm: NormKind = NormKind.NONE
    norm_places: tuple[Operand, ...] = ()

    @property
    def multiplied(self) -> set[Operand]:
        """Operands that its products read."""
        inits = {init for init in self.inits.values() if init is not None}
        return {factor.source for factor in self.factors} | inits

    @property
    def read(self) -> set[Operand]:
        """All operands that it reads, except registers."""
        places = self.norm_places[: _NORM_READS[self.norm]]
        args = {arg for step in self.steps for arg in step.args if not isinstance(arg, Register)}
        return {*self.multiplied, *args, *places}

    @property
    def written(self) -> set[Operand]:
        """All operands that it writes, except registers and accumulators."""
        places = self.norm_places[_NORM_READS[self.norm] :]
        targets = {step.target for step in self.steps if step.target is not None}
        return {*(target for target in targets if not isinstance(target, Register)), *places}


def view_operand(plan: Plan, index: int) -> Operand:
    """The operand for a view of the plan."""
    view = plan.views[index]
    buffer = plan.buffers[view.buffer]
    if buffer.kind is BufferKind.INPUT:
        return External.INPUT
    if buffer.kind is BufferKind.MASK:
        return MaskRows(buffer.index)
    if buffer.kind in (BufferKind.STATE, BufferKind.CARRY):
        return StateRows(view.kind, view.buffer)
    return BufferColumns((view.buffer,))


def translate(plan: Plan, kernel: Kernel, *, absent: AbstractSet[int], wanted: AbstractSet[int]) -> Body:
    """Translate a kernel.

    Args:
        plan: The plan.
        kernel: One of its kernels.
        absent: Indices of biases that the layer does not have.
        wanted: Indices of the weights whose gradients are wanted.
    """
    factors: list[Factor] = []
    inits: dict[Register, Operand | None] = {}
    for dot in kernel.dots:
        for product in dot.products:
            register = Register(product.register)
            factors.append(Factor(view_operand(plan, dot.source), register, product.weight, product.transposed))
            if product.init is Init.VIEW:
                inits[register] = view_operand(plan, product.init_index)
            elif product.init is Init.VECTOR and product.init_index not in absent:
                inits[register] = Biases((product.init_index,), kernel.width)
            elif product.init is not Init.ACCUMULATE:
                inits[register] = None
    writer = _Translator(plan, kernel, absent)
    steps = [
        writer.step(instruction)
        for instruction in kernel.program
        if instruction.op not in REDUCTIONS or instruction.immediate in wanted
    ]
    places = tuple(view_operand(plan, view) for view in kernel.norm_views)
    return Body(kernel.width, tuple(factors), inits, tuple(steps), kernel.norm, places)


class _Translator:
    """Translates instructions, with a new register for every result."""

    def __init__(self, plan: Plan, kernel: Kernel, absent: AbstractSet[int]) -> None:
        self._plan = plan
        self._width = kernel.width
        self._absent = absent
        self._current = {
            product.register: Register(product.register) for dot in kernel.dots for product in dot.products
        }
        self._count = kernel.registers

    def step(self, instruction: Instruction) -> Step:
        """Translate the next instruction."""
        immediate = instruction.immediate
        args = tuple(
            self._operand(operand)
            for operand in (instruction.a, instruction.b, instruction.c)
            if operand != UNUSED
        )
        match instruction.op:
            case Op.STORE_ROWS:
                return Step(Op.COPY, (External.OUTPUT, External.INPUT_GRADIENT)[immediate], args)
            case Op.REDUCE_ROWS | Op.REDUCE_ALL:
                return Step(instruction.op, None, args, immediate)
            case Op.LOAD_ROWS:
                return Step(Op.COPY, self._target(instruction.target), (External.OUTPUT_GRADIENT,))
            case Op.MASK:
                return Step(Op.COPY, self._target(instruction.target), (MaskRows(immediate),))
            case Op.VECTOR | Op.SCALAR:
                source = WeightRows(immediate, self._width)
                return Step(Op.COPY, self._target(instruction.target), (source,))
            case Op.FILL:
                constant = ConstantRows(immediate, self._width)
                return Step(Op.COPY, self._target(instruction.target), (constant,))
        return Step(instruction.op, self._target(instruction.target), args, immediate)

    def _operand(self, operand: int) -> Operand:
        return self._current[operand] if operand >= 0 else view_operand(self._plan, -1 - operand)

    def _target(self, operand: int) -> Operand:
        if operand < 0:
            return view_operand(self._plan, -1 - operand)
        self._current[operand] = Register(self._count)
        self._count += 1
        return self._current[operand]

"""Emits the code of one kernel: instructions on virtual registers, followed by register allocation."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from cellzoo.runtime.program import UNUSED, Dot, Init, Instruction, Kernel, Op, Product

_STORES = frozenset({Op.STORE_ROWS, Op.REDUCE_ROWS, Op.REDUCE_ALL})


def view_operand(view: int) -> int:
    """The operand that refers to a view."""
    return -1 - view


@dataclass
class Emitter:
    """One kernel under construction.

    Attributes:
        width: Width of the kernel.
        constants: Constants of the plan, shared by all its kernels.
    """

    width: str
    constants: list[float]
    instructions: list[Instruction] = field(default_factory=list)
    _registers: int = 0
    _dots: dict[int, list[Product]] = field(default_factory=dict)
    _started: set[int] = field(default_factory=set)

    def emit(
        self,
        op: Op,
        a: int = UNUSED,
        b: int = UNUSED,
        c: int = UNUSED,
        *,
        immediate: int = 0,
        target: int | None = None,
    ) -> int:
        """Append an instruction that writes to `target`, or to a new register. Returns the target."""
        if target is None:
            target = UNUSED if op in _STORES else self.register()
        self.instructions.append(Instruction(op, target, a, b, c, immediate))
        return target

    def register(self) -> int:
        """Create a virtual register."""
        self._registers += 1
        return self._registers - 1

    def constant(self, value: float) -> int:
        """Index of a constant, which is added if it is new."""
        if value not in self.constants:
            self.constants.append(value)
        return self.constants.index(value)

    def product(
        self, register: int, source: int, weight: int, *, transposed: bool, init: Init, index: int = 0
    ) -> None:
        """Add a product of the view `source` to a register; `init` applies to the register's first product."""
        if register in self._started:
            init, index = Init.ACCUMULATE, 0
        self._started.add(register)
        self._dots.setdefault(source, []).append(Product(register, weight, transposed, init, index))

    @property
    def sources(self) -> set[int]:
        """Views that products read."""
        return set(self._dots)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was emitted."""
        return not self._dots and not self.instructions

    def move(self, operand: int, target: int) -> None:
        """Move a value to `target`.

        If the last instruction computed it, that one writes to the target instead: the register must not be
        read later.
        """
        last = self.instructions[-1] if self.instructions else None
        if last is not None and last.target == operand >= 0:
            self.instructions[-1] = replace(last, target=target)
        else:
            self.emit(Op.COPY, operand, target=target)

    def finish(self, label: str, *, barrier: bool) -> Kernel:
        """Allocate registers and build the kernel."""
        fused = _fuse(self.instructions)
        program, mapping, count = _allocate(fused, sorted(self._started))
        dots = tuple(
            Dot(source, tuple(replace(product, register=mapping[product.register]) for product in products))
            for source, products in self._dots.items()
        )
        return Kernel(self.width, label, barrier, count, _initialise_first(dots), program)


def _initialise_first(dots: tuple[Dot, ...]) -> tuple[Dot, ...]:
    """Move each register's init to its first product, after the products were grouped by source."""
    inits: dict[int, tuple[Init, int]] = {}
    for dot in dots:
        for product in dot.products:
            if product.init is not Init.ACCUMULATE:
                inits[product.register] = (product.init, product.init_index)
    seen: set[int] = set()
    result = []
    for dot in dots:
        products = []
        for product in dot.products:
            init, index = (Init.ACCUMULATE, 0) if product.register in seen else inits[product.register]
            seen.add(product.register)
            products.append(replace(product, init=init, init_index=index))
        result.append(Dot(dot.source, tuple(products)))
    return tuple(result)


def operands(instruction: Instruction) -> tuple[int, ...]:
    """Operands that an instruction reads."""
    return tuple(operand for operand in (instruction.a, instruction.b, instruction.c) if operand != UNUSED)


def _fuse(instructions: list[Instruction]) -> list[Instruction]:
    """Fuse a multiplication with the addition that follows, if that is the only reader of its result."""
    uses: dict[int, int] = {}
    for instruction in instructions:
        for operand in operands(instruction):
            uses[operand] = uses.get(operand, 0) + 1
    result: list[Instruction] = []
    for instruction in instructions:
        last = result[-1] if result else None
        if (
            instruction.op is Op.ADD
            and last is not None
            and last.op is Op.MULTIPLY
            and last.target >= 0
            and uses.get(last.target) == 1
            and last.target in (instruction.a, instruction.b)
        ):
            other = instruction.b if instruction.a == last.target else instruction.a
            result[-1] = Instruction(Op.MULTIPLY_ADD, instruction.target, last.a, last.b, other)
        else:
            result.append(instruction)
    return result


def _allocate(
    instructions: list[Instruction], products: list[int]
) -> tuple[tuple[Instruction, ...], dict[int, int], int]:
    """Linear-scan register allocation; the registers of products are all live from the start.

    Returns:
        The instructions, the mapping virtual -> real register, and the number of real registers.
    """
    last_use: dict[int, int] = {}
    for position, instruction in enumerate(instructions):
        for operand in (*operands(instruction), instruction.target):
            if operand >= 0:
                last_use[operand] = position
    mapping = {virtual: real for real, virtual in enumerate(products)}
    count = len(products)
    free: list[int] = []
    result = []
    for position, instruction in enumerate(instructions):
        read = {operand for operand in operands(instruction) if operand >= 0}
        a, b, c = (
            mapping[operand] if operand >= 0 else operand
            for operand in (instruction.a, instruction.b, instruction.c)
        )
        free.extend(sorted(mapping[virtual] for virtual in read if last_use[virtual] == position))
        target = instruction.target
        if target >= 0 and target not in mapping:
            if free:
                mapping[target] = free.pop()
            else:
                mapping[target] = count
                count += 1
        if target >= 0:
            if last_use[target] == position and target not in read:
                free.append(mapping[target])
            target = mapping[target]
        result.append(replace(instruction, target=target, a=a, b=b, c=c))
    return tuple(result), mapping, count

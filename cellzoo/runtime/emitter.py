"""Writes one kernel: instructions on virtual registers, which it then lays into as few as are needed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from cellzoo.runtime.program import UNUSED, Dot, Init, Instruction, Kernel, Op, Product

_STORES = frozenset({Op.STORE_ROWS, Op.REDUCE_ROWS, Op.REDUCE_ALL})


def view_operand(view: int) -> int:
    """The operand that names a view."""
    return -1 - view


@dataclass
class Emitter:
    """One kernel as it is written.

    Attributes:
        width: Width of the kernel.
        constants: Numbers that the plan's instructions name; shared by all its kernels.
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
        """Append an instruction; its result goes to `target`, or to a new register. Returns where it is."""
        if target is None:
            target = UNUSED if op in _STORES else self.register()
        self.instructions.append(Instruction(op, target, a, b, c, immediate))
        return target

    def register(self) -> int:
        """A new virtual register."""
        self._registers += 1
        return self._registers - 1

    def constant(self, value: float) -> int:
        """Index of a number."""
        if value not in self.constants:
            self.constants.append(value)
        return self.constants.index(value)

    def product(
        self, register: int, source: int, weight: int, *, transposed: bool, init: Init, index: int = 0
    ) -> None:
        """Add to `register` the product of view `source`; `init` counts for a register's first product."""
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
        """Whether nothing was written."""
        return not self._dots and not self.instructions

    def move(self, operand: int, target: int) -> None:
        """Put a value where it is wanted; its register is not read again if it was made just now."""
        last = self.instructions[-1] if self.instructions else None
        if last is not None and last.target == operand >= 0:
            self.instructions[-1] = replace(last, target=target)
        else:
            self.emit(Op.COPY, operand, target=target)

    def finish(self, label: str, *, barrier: bool) -> Kernel:
        """Close the kernel."""
        fused = _fuse(self.instructions)
        program, mapping, count = _allocate(fused, sorted(self._started))
        dots = tuple(
            Dot(source, tuple(replace(product, register=mapping[product.register]) for product in products))
            for source, products in self._dots.items()
        )
        return Kernel(self.width, label, barrier, count, _initialise_first(dots), program)


def _initialise_first(dots: tuple[Dot, ...]) -> tuple[Dot, ...]:
    """Give each register's init to the product that comes first now that products are sorted by source."""
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
    """What an instruction reads."""
    return tuple(operand for operand in (instruction.a, instruction.b, instruction.c) if operand != UNUSED)


def _fuse(instructions: list[Instruction]) -> list[Instruction]:
    """Join a product that only the next instruction reads, as a term of a sum, with that sum."""
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
    """Lay virtual registers into few; those of products are all alive from the start.

    Returns:
        The instructions, virtual -> real register, and how many there are.
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

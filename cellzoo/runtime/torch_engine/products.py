"""Joins the products of a kernel to few large ones, and assigns memory to their results."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellzoo.runtime.program import Op
from cellzoo.runtime.torch_engine.accesses import Accesses
from cellzoo.runtime.torch_engine.operands import (
    Biases,
    BufferColumns,
    External,
    Matrix,
    Register,
    Scratch,
    StateRows,
)
from cellzoo.runtime.torch_engine.steps import Step

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cellzoo.runtime.torch_engine.blocks import Blocks
    from cellzoo.runtime.torch_engine.operands import Operand
    from cellzoo.runtime.torch_engine.steps import Body, Factor


@dataclass(frozen=True)
class MatMul:
    """target = init + source @ matrix. An init of None is zero; it may also be the target itself."""

    source: Operand
    matrix: Matrix
    target: Operand
    init: Operand | None


def homes(body: Body) -> dict[Register, Operand]:
    """Operands that can replace the registers of products (copy coalescing).

    A register can be replaced by the target of the first step that reads it, if neither the register nor the
    previous value of the target is read later.
    """
    found: dict[Register, Operand] = {}
    accesses = Accesses(body.steps)
    sources = {factor.source for factor in body.factors}
    starts = Counter(body.inits.values())
    taken: set[Operand] = set()
    for register, init in body.inits.items():
        first = accesses.first_read(register)
        if first is None:
            continue
        step = body.steps[first]
        place = step.target
        end = accesses.last_read(register)
        if (
            isinstance(place, BufferColumns | StateRows | External)
            and place not in sources
            and place not in taken
            and starts[place] == (1 if init == place else 0)
            and not accesses.is_read(place, 0, first + 1)
            and accesses.first_write(place) == first
            and (end == first or (step.op is Op.COPY and not accesses.is_written(place, first + 1, end)))
        ):
            found[register] = place
            taken.add(place)
    return found


def wishes(body: Body) -> Iterator[frozenset[int]]:
    """Sets of buffers that should be adjacent for the products of a kernel."""
    candidates = homes(body)
    for registers, sources in _by_registers(body).items():
        for places in (
            sources,
            [body.inits[register] for register in registers],
            [candidates.get(register) for register in registers],
        ):
            buffers = [place.buffers[0] for place in places if isinstance(place, BufferColumns)]
            if len(set(buffers)) > 1:
                yield frozenset(buffers)


class KernelProducts:
    """The joined products of one kernel.

    Attributes:
        places: Register of a product -> operand that replaces it.
        calls: Products and copies, in order.
    """

    def __init__(self, body: Body, blocks: Blocks) -> None:
        self._body = body
        self._blocks = blocks
        self._groups = self._place()
        self.places = {
            register: place
            for group, places in self._groups
            for register, place in zip(group, places, strict=True)
        }
        self.calls: list[MatMul | Step] = []
        self._begun: set[Register] = set()
        for registers, factors in sorted(self._runs().items(), key=lambda item: -len(item[0][0])):
            self._call(registers[0], factors, transposed=registers[1])

    def _place(self) -> list[tuple[tuple[Register, ...], tuple[Operand, ...]]]:
        candidates = homes(self._body)

        def order(register: Register) -> tuple[int, int, int]:
            for place in (candidates.get(register), self._body.inits[register]):
                if isinstance(place, BufferColumns):
                    return (*self._blocks.place(place.buffers[0]), register.number)
            return (len(self._blocks.members), 0, register.number)

        groups: list[tuple[Register, ...]] = []
        seen: set[Register] = set()
        for registers in sorted(_by_registers(self._body), key=len, reverse=True):
            rest = [register for register in registers if register not in seen]
            if rest:
                groups.append(tuple(sorted(rest, key=order)))
                seen.update(rest)
        placed = []
        first, total = 0, len(seen)
        for group in groups:
            own = [candidates[register] for register in group if register in candidates]
            if len(own) == len(group) and self._blocks.join(own) is not None:
                placed.append((group, tuple(own)))
            else:
                count = len(group)
                scratch = [Scratch(self._body.width, total, first + k, 1) for k in range(count)]
                placed.append((group, tuple(scratch)))
                first += count
        return placed

    def _runs(self) -> dict[tuple[tuple[Register, ...], bool], list[list[Factor]]]:
        """(adjacent registers, transposed) -> for each source, its factors in the order of the registers."""
        runs: dict[tuple[tuple[Register, ...], bool], list[list[Factor]]] = {}
        positions = {
            register: (number, position)
            for number, (group, _) in enumerate(self._groups)
            for position, register in enumerate(group)
        }
        for factors in _by_source(self._body):
            run: list[Factor] = []
            for factor in sorted(factors, key=lambda factor: positions[factor.register]):
                number, position = positions[factor.register]
                if run and positions[run[-1].register] != (number, position - 1):
                    _note(runs, run)
                    run = []
                run.append(factor)
            _note(runs, run)
        return runs

    def _call(self, registers: tuple[Register, ...], parts: list[list[Factor]], *, transposed: bool) -> None:
        target = self._join([self.places[register] for register in registers])
        waiting: dict[Operand, deque[list[Factor]]] = {}
        for part in parts:
            waiting.setdefault(part[0].source, deque()).append(part)
        while waiting:
            for run in self._blocks.runs(waiting):
                columns = [[factor.weight for factor in waiting[source].popleft()] for source in run]
                grid = tuple(map(tuple, columns)) if transposed else tuple(zip(*columns, strict=True))
                source = self._blocks.join(run)
                assert source is not None  # noqa: S101 - what runs are
                init = self._begin(registers, target)
                self.calls.append(MatMul(source, Matrix(grid, not transposed), target, init))
            waiting = {source: rest for source, rest in waiting.items() if rest}

    def _join(self, places: Sequence[Operand]) -> Operand:
        first = places[0]
        if isinstance(first, Scratch):
            return Scratch(first.width, first.total, first.first, len(places))
        joined = self._blocks.join(places)
        assert joined is not None  # noqa: S101 - homes of one group lie side by side
        return joined

    def _begin(self, registers: tuple[Register, ...], target: Operand) -> Operand | None:
        """The operand that the next product into these registers is added to; None is zero."""
        fresh = [register for register in registers if register not in self._begun]
        self._begun.update(fresh)
        inits = [self._body.inits[register] for register in fresh]
        if len(fresh) == len(registers):
            joined = self._joined_inits(inits)
            if joined is not None or not any(inits):
                return joined
        for register, init in zip(fresh, inits, strict=True):
            place = self.places[register]
            if init is None:
                self.calls.append(Step(Op.FILL, place, ()))
            elif init != place:
                self.calls.append(Step(Op.COPY, place, (init,)))
        return target

    def _joined_inits(self, inits: Sequence[Operand | None]) -> Operand | None:
        """One operand for all inits, or None if there is none."""
        biases = [init for init in inits if isinstance(init, Biases)]
        if biases and len(biases) + inits.count(None) == len(inits):
            names = tuple(init.weights[0] if isinstance(init, Biases) else None for init in inits)
            return Biases(names, self._body.width)
        places = [init for init in inits if init is not None]
        return self._blocks.join(places) if len(places) == len(inits) else None


def _note(runs: dict[tuple[tuple[Register, ...], bool], list[list[Factor]]], run: list[Factor]) -> None:
    """Add a run of factors to the runs with the same registers."""
    key = (tuple(factor.register for factor in run), run[0].transposed)
    runs.setdefault(key, []).append(run)


def _by_source(body: Body) -> list[list[Factor]]:
    """Group factors by source and transposition; a register occurs at most once in each list."""
    lists: dict[tuple[Operand, bool, int], list[Factor]] = {}
    seen: Counter[tuple[Operand, bool, Register]] = Counter()
    for factor in body.factors:
        number = seen[factor.source, factor.transposed, factor.register]
        seen[factor.source, factor.transposed, factor.register] += 1
        lists.setdefault((factor.source, factor.transposed, number), []).append(factor)
    return list(lists.values())


def _by_registers(body: Body) -> dict[frozenset[Register], list[Operand]]:
    """Set of registers -> the sources that exactly these registers read."""
    groups: dict[frozenset[Register], list[Operand]] = {}
    for factors in _by_source(body):
        groups.setdefault(frozenset(factor.register for factor in factors), []).append(factors[0].source)
    return groups

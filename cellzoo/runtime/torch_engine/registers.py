"""Allocates scratch memory for registers, and joins the steps of a group if that is less work."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cellzoo.runtime.program import Op
from cellzoo.runtime.torch_engine.lanes import OF_PARAMETERS
from cellzoo.runtime.torch_engine.operands import BufferColumns, Lanes, Register, Scratch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellzoo.runtime.torch_engine.blocks import Blocks
    from cellzoo.runtime.torch_engine.operands import Operand
    from cellzoo.runtime.torch_engine.steps import Step

# Number of torch operations of a step, if it is more than one.
_WORK = {Op.MIXTURE: 8, Op.MIXTURE_BACKWARD: 20, Op.PARAMETER_SCALE_BACKWARD: 4, Op.BLEND_BACKWARD: 2}


@dataclass(frozen=True)
class Together:
    """Several steps joined to one.

    Attributes:
        steps: The steps, one per lane, with registers replaced by memory.
        target: The results.
        args: The operands, each with one lane for all or one per step.
        gathered: Lanes that are not adjacent, and the scratch memory they are first concatenated in.
    """

    steps: tuple[Step, ...]
    target: Lanes
    args: tuple[Lanes, ...]
    gathered: tuple[tuple[tuple[Operand, ...], Scratch], ...]


def allocate(groups: Sequence[Sequence[Step]], width: str, blocks: Blocks) -> list[Step | Together]:
    """Replace registers by memory, and join groups of steps.

    Args:
        groups: The steps of one kernel, as `alike` returns them; each register is written once.
        width: Width of the kernel.
        blocks: Layout of the buffers.
    """
    # Split groups, as results in registers and in buffers are rarely adjacent.
    split = [
        part
        for group in groups
        for part in (
            [step for step in group if isinstance(step.target, Register)],
            [step for step in group if not isinstance(step.target, Register)],
        )
        if part
    ]
    allocator = _Allocator(split, width, blocks)
    for position, group in enumerate(split):
        allocator.add(position, group)
    return allocator.result


class _Allocator:
    def __init__(self, groups: Sequence[Sequence[Step]], width: str, blocks: Blocks) -> None:
        self.result: list[Step | Together] = []
        self._width = width
        self._blocks = blocks
        self._last_read: dict[Operand, int] = {}
        for position, group in enumerate(groups):
            for step in group:
                self._last_read.update(dict.fromkeys(step.args, position))
        self._memory: dict[Operand, Scratch] = {}
        # Number of lanes -> free regions of this size; region -> number of its lanes in use.
        self._free: dict[int, list[Scratch]] = {}
        self._used: dict[Scratch, int] = {}
        self._count = 0

    def add(self, position: int, group: Sequence[Step]) -> None:
        """Append the steps of a group."""
        placed = [replace(step, args=tuple(self._memory.get(arg, arg) for arg in step.args)) for step in group]
        together = self._together(placed) if len(placed) > 1 else None
        if together is None:
            for resolved in placed:
                # A step may overwrite operands that it is the last to read.
                if len(group) == 1:
                    self._free_unread(position, group)
                target = resolved.target
                if isinstance(target, Register):
                    region = self._take(1)
                    self._assign(target, region, position)
                    target = region
                self.result.append(replace(resolved, target=target))
            if len(group) > 1:
                self._free_unread(position, group)
            return
        gathered, args = together
        self._append(position, group, placed, gathered, args)
        self._free_unread(position, group)

    def _together(
        self, steps: Sequence[Step]
    ) -> tuple[list[tuple[Operand, ...]], list[Lanes | tuple[Operand, ...]]] | None:
        """The lanes to gather and the operands of joined steps; None if separate steps are less work."""
        op = steps[0].op
        if op is not Op.COPY and op not in OF_PARAMETERS and all(step.args == steps[0].args for step in steps):
            return None
        gathered: list[tuple[Operand, ...]] = []
        args: list[Lanes | tuple[Operand, ...]] = []
        for lanes in zip(*(step.args for step in steps), strict=True):
            joined = self._joined(lanes)
            args.append(lanes if joined is None else joined)
            if joined is None and lanes not in gathered:
                gathered.append(lanes)
        kept = [step.target for step in steps if not isinstance(step.target, Register)]
        targets = [step.target for step in steps if step.target is not None]
        scattered = 0 if self._joined(targets) is not None else len(kept)
        work = _WORK.get(op, 1)
        if work + len(gathered) + scattered >= work * len(steps):
            return None
        return gathered, args

    def _append(
        self,
        position: int,
        group: Sequence[Step],
        placed: Sequence[Step],
        gathered: Sequence[tuple[Operand, ...]],
        args: Sequence[Lanes | tuple[Operand, ...]],
    ) -> None:
        count = len(group)
        rooms = {lanes: self._take(count) for lanes in gathered}
        operands = tuple(arg if isinstance(arg, Lanes) else Lanes(rooms[arg], count) for arg in args)
        targets = [step.target for step in placed if step.target is not None]
        target = self._joined(targets)
        copies: list[Step] = []
        if target is None:
            region = self._take(count)
            target = Lanes(region, count)
            for lane, place in enumerate(targets):
                part = replace(region, first=lane, count=1)
                if isinstance(place, Register):
                    self._assign(place, region, position, part)
                else:
                    copies.append(replace(placed[lane], op=Op.COPY, target=place, args=(part,), immediate=0))
            if not self._used.get(region):
                self._free.setdefault(count, []).append(region)
        self.result.append(Together(tuple(placed), target, operands, tuple(rooms.items())))
        self.result.extend(copies)
        for room in rooms.values():
            self._free.setdefault(count, []).append(room)

    def _joined(self, lanes: Sequence[Operand]) -> Lanes | None:
        """One operand for all lanes, if they are equal or adjacent; else None."""
        first = lanes[0]
        if all(lane == first for lane in lanes):
            return None if isinstance(first, Register) else Lanes(first, 1)
        if all(isinstance(lane, BufferColumns) for lane in lanes):
            joined = self._blocks.join(lanes)
            return None if joined is None else Lanes(joined, len(lanes))
        if isinstance(first, Scratch) and all(
            lane == replace(first, first=first.first + number) for number, lane in enumerate(lanes)
        ):
            return Lanes(replace(first, count=len(lanes)), len(lanes))
        return None

    def _take(self, count: int) -> Scratch:
        free = self._free.setdefault(count, [])
        if free:
            return free.pop()
        self._count += 1
        return Scratch(self._width, count, 0, count, f"register {self._count}")

    def _assign(self, register: Register, region: Scratch, position: int, part: Scratch | None = None) -> None:
        self._memory[register] = part or region
        if self._last_read.get(register, -1) > position:
            self._used[region] = self._used.get(region, 0) + 1
        elif part is None:
            self._free[region.total].append(region)

    def _free_unread(self, position: int, group: Sequence[Step]) -> None:
        """Free the regions that are not read after this group."""
        for register in dict.fromkeys(arg for step in group for arg in step.args):
            if register in self._memory and self._last_read[register] == position:
                part = self._memory[register]
                region = replace(part, first=0, count=part.total)
                self._used[region] -= 1
                if not self._used[region]:
                    self._free[region.total].append(region)

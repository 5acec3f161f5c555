"""Which buffers lie side by side, so that one product reads or writes several of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellzoo.runtime.program import BufferKind
from cellzoo.runtime.torch_engine.operands import BufferColumns

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cellzoo.runtime.program import Plan
    from cellzoo.runtime.torch_engine.operands import Operand


class Blocks:
    """Buffers with a row for each row of the batch or of the step, in tensors that hold several.

    Attributes:
        members: Index -> the buffers of one block, from left to right.
    """

    def __init__(self, plan: Plan, wishes: Iterable[frozenset[int] | tuple[int, ...]]) -> None:
        """Lay out the blocks.

        Args:
            plan: The plan.
            wishes: Buffers that one product, or one step, would read or write, in any order or in the one that
                is said; smaller ones come first, and one that contradicts those before is left.
        """
        buffers = plan.buffers
        block_of: dict[int, tuple[int, ...]] = {
            index: (index,)
            for index, buffer in enumerate(buffers)
            if buffer.kind in (BufferKind.ALL, BufferKind.STEP)
        }
        for wish in sorted(wishes, key=lambda wish: (len(wish), sorted(wish))):
            order = wish if isinstance(wish, tuple) else sorted(wish)
            parts = _distinct(block_of[index] for index in order if index in block_of)
            whole = sum(len(part) for part in parts) == len(wish)
            if len(parts) > 1 and whole and len({buffers[index].kind for index in wish}) == 1:
                joined = tuple(index for part in parts for index in part)
                block_of.update(dict.fromkeys(joined, joined))
        self.members = tuple(_distinct(block_of.values()))
        self._place = {
            index: (block, position)
            for block, members in enumerate(self.members)
            for position, index in enumerate(members)
        }

    def place(self, buffer: int) -> tuple[int, int]:
        """The block of a buffer, and its position there."""
        return self._place[buffer]

    def join(self, operands: Sequence[Operand]) -> Operand | None:
        """One operand for all of them, from left to right, or None if they do not lie so."""
        if len(operands) == 1:
            return operands[0]
        buffers = tuple(operand.buffers[0] for operand in operands if isinstance(operand, BufferColumns))
        if len(buffers) < len(operands):
            return None
        block, first = self._place[buffers[0]]
        wanted = [(block, first + offset) for offset in range(len(buffers))]
        return BufferColumns(buffers) if [self._place[buffer] for buffer in buffers] == wanted else None

    def runs(self, operands: Iterable[Operand]) -> list[tuple[Operand, ...]]:
        """Sort operands into as few groups as can be joined."""
        runs: list[list[Operand]] = []
        for operand in sorted(operands, key=self._order):
            if runs and self.join((runs[-1][-1], operand)) is not None:
                runs[-1].append(operand)
            else:
                runs.append([operand])
        return [tuple(run) for run in runs]

    def _order(self, operand: Operand) -> tuple[int, int]:
        return self._place[operand.buffers[0]] if isinstance(operand, BufferColumns) else (-1, 0)


def _distinct(blocks: Iterable[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Each of several blocks once; no two share a buffer."""
    return list({block[0]: block for block in blocks}.values())

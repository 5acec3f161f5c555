"""Layout of buffers side by side in blocks, so that one product reads or writes several of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellzoo.runtime.program import BufferKind
from cellzoo.runtime.torch_engine.operands import BufferColumns

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cellzoo.runtime.program import Plan
    from cellzoo.runtime.torch_engine.operands import Operand


class Blocks:
    """Blocks: tensors that hold several buffers as adjacent columns.

    Attributes:
        members: Index of a block -> its buffers, from left to right.
    """

    def __init__(self, plan: Plan, wishes: Iterable[frozenset[int] | tuple[int, ...]]) -> None:
        """Lay out the blocks.

        Args:
            plan: The plan.
            wishes: Sets of buffers that should be adjacent, or tuples if their order matters, as one product or
                step reads or writes them. Small ones take precedence; those that conflict with them are
                ignored.
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
        """The block of a buffer, and its position in the block."""
        return self._place[buffer]

    def join(self, operands: Sequence[Operand]) -> Operand | None:
        """One operand for several, if they are adjacent in this order; else None."""
        if len(operands) == 1:
            return operands[0]
        buffers = tuple(operand.buffers[0] for operand in operands if isinstance(operand, BufferColumns))
        if len(buffers) < len(operands):
            return None
        block, first = self._place[buffers[0]]
        wanted = [(block, first + offset) for offset in range(len(buffers))]
        return BufferColumns(buffers) if [self._place[buffer] for buffer in buffers] == wanted else None

    def runs(self, operands: Iterable[Operand]) -> list[tuple[Operand, ...]]:
        """Partition operands into the fewest groups that can be joined."""
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
    """Remove duplicate blocks; distinct blocks share no buffer."""
    return list({block[0]: block for block in blocks}.values())

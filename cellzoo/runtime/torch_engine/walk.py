"""Runs phases: resolves operands to tensors for every step, or every chunk of rows, and calls the actions."""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Any

from cellzoo.runtime.program import ViewKind
from cellzoo.runtime.torch_engine.operands import (
    Biases,
    BufferColumns,
    ConstantRows,
    External,
    Lanes,
    MaskRows,
    Matrix,
    MixtureParameters,
    Moments,
    ParameterLanes,
    Scratch,
    StateRows,
    Total,
    WeightRows,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import Tensor

    from cellzoo.runtime.torch_engine.compiled import Phase
    from cellzoo.runtime.torch_engine.memory import BatchMemory, Given
    from cellzoo.runtime.torch_engine.operands import Operand
    from cellzoo.runtime.torch_engine.order import Order

# Rows per chunk of an input phase: few enough for the cache, and for small scratch memory.
_CPU_CHUNK, _DEVICE_CHUNK = 1024, 8192


class Walk:
    """Base class of loops over steps and over chunks.

    Attributes:
        memory: Memory of the call.
        given: Tensors of the caller.
        counts: Rows of each step, or chunk.
    """

    def __init__(self, memory: BatchMemory, given: Given, counts: Sequence[int]) -> None:
        self.memory = memory
        self.given = given
        self.counts = counts
        self._most = max(counts)
        self._is_even = min(counts) == self._most

    def run(self, phase: Phase) -> Iterator[int]:
        """Run a phase; yields the position of each step after it has run."""
        actions = phase.actions
        columns = [self.tensors(operand) for operand in phase.operands]
        for position, tensors in enumerate(zip(*columns, self.counts, strict=False)):
            for action in actions:
                action(tensors)
            yield position

    def rows(self, tensor: Tensor) -> Sequence[Tensor]:
        """Split a tensor with all rows."""
        raise NotImplementedError

    def step_rows(self, tensor: Tensor) -> Iterable[Tensor]:
        """For each step, the first rows of a tensor."""
        if self._is_even:
            return repeat(tensor[: self._most])
        parts = {count: tensor[:count] for count in set(self.counts)}
        return [parts[count] for count in self.counts]

    def mask(self, mask: Tensor) -> Iterable[Tensor]:
        """Rows of a mask (B, width)."""
        raise NotImplementedError

    def state(self, kind: ViewKind, index: int) -> Sequence[Tensor]:
        """Rows of a state, or of the gradient of one, by its index among the states."""
        raise NotImplementedError

    def tensors(self, operand: Operand) -> Iterable[Any]:
        """The tensor of an operand at each step; an infinite iterator if it is always the same."""
        memory, given = self.memory, self.given
        match operand:
            case BufferColumns(buffers=buffers):
                columns = memory.columns(buffers)
                return self.rows(columns) if memory.has_all_rows(buffers[0]) else self.step_rows(columns)
            case External():
                return self.rows(given.rows[operand])
            case StateRows(kind=kind, buffer=buffer):
                return self.state(kind, memory.plan.buffers[buffer].index)
            case Scratch(width=width, total=total, first=first, count=count, name=name):
                scratch = memory.scratch(name, width, total, self._most)
                units = memory.width(width)
                return self.step_rows(scratch.narrow(1, first * units, count * units))
            case MaskRows(index=index):
                return self.mask(given.mask(index))
            case WeightRows(weight=weight, width=width):
                return self._everywhere(given.weight(weight), width)
            case ConstantRows(constant=constant, width=width):
                value = memory.plan.constants[constant]
                return self._everywhere(given.rows[External.INPUT].new_full((1,), value), width)
            case Matrix():
                return repeat(given.matrix(operand))
            case Biases():
                return repeat(given.biases(operand, memory.width(operand.width)))
            case MixtureParameters():
                return repeat(given.some_parameters(operand))
            case Lanes(whole=whole, count=count):
                return _in_lanes(self.tensors(whole), count)
            case ParameterLanes():
                return repeat(given.lanes_of_parameters(operand))
            case Moments():
                return repeat(given.moments)
            case Total():
                return repeat(given.total(operand, memory.width(operand.width)))
        raise AssertionError(f"no tensors for {operand!r}")

    def _everywhere(self, tensor: Tensor, width: str) -> Iterable[Tensor]:
        return self.step_rows(tensor.expand(self._most, self.memory.width(width)))


class StepWalk(Walk):
    """The loop over steps, in one direction."""

    def __init__(self, memory: BatchMemory, given: Given, order: Order) -> None:
        super().__init__(memory, given, order.counts)
        self.order = order
        self._state_rows: dict[tuple[ViewKind, int], Sequence[Tensor]] = {}

    def rows(self, tensor: Tensor) -> Sequence[Tensor]:
        """Split a tensor with all rows."""
        sizes = self.order.rows.batch_sizes
        if len(sizes) == 1:
            return (tensor,)
        parts = tensor.split_with_sizes(sizes)
        return parts[::-1] if self.order.descending else parts

    def mask(self, mask: Tensor) -> Iterable[Tensor]:
        """Rows of a mask (B, width)."""
        return self.step_rows(mask)

    def state(self, kind: ViewKind, index: int) -> Sequence[Tensor]:
        """Rows of a state, or of the gradient of one, by its index among the states."""
        key = (kind, index)
        if key not in self._state_rows:
            self._state_rows[key] = self._cut_state(kind, index)
        return self._state_rows[key]

    def _cut_state(self, kind: ViewKind, index: int) -> Sequence[Tensor]:
        memory = self.memory
        match kind:
            case ViewKind.CARRY_IN:
                return self._in_turn(memory.carries[index], 0)
            case ViewKind.CARRY_OUT:
                return self._in_turn(memory.carries[index], 1)
            case ViewKind.STATE_IN if memory.keeps_states:
                return self.rows(memory.states[index][: self.order.rows.total])
            case ViewKind.STATE_IN:
                return self._in_turn(memory.states[index], 0)
            case ViewKind.STATE_OUT if memory.keeps_states:
                return self._before_the_next_step(memory.states[index])
            case ViewKind.STATE_OUT:
                return self._in_turn(memory.states[index], 1)
        raise AssertionError(f"{kind!r} is not a view of a state")

    def _before_the_next_step(self, state: Tensor) -> Sequence[Tensor]:
        """Rows where the next step of the forward pass reads its state; for the last step, the tensor's end."""
        # For the forward pass only: where a sequence has ended, later steps have overwritten its final state.
        assert self.order == self.memory.order  # noqa: S101
        starts = self.order.rows.starts
        following = [*self.order.steps[1:], -1]
        return [
            state[starts[after] : starts[after] + count]
            for after, count in zip(following, self.counts, strict=True)
        ]

    def _in_turn(self, tensor: Tensor, first: int) -> Sequence[Tensor]:
        """The halves of a double buffer, alternating."""
        batch = self.order.rows.batch
        halves = (tensor[:batch], tensor[batch:])
        if self._is_even:
            return [halves[(first + position) % 2] for position in range(len(self.counts))]
        return [halves[(first + position) % 2][:count] for position, count in enumerate(self.counts)]


class InputWalk(Walk):
    """The loop over all rows, in chunks."""

    def __init__(self, memory: BatchMemory, given: Given) -> None:
        inputs = given.rows[External.INPUT]
        self._chunk = _CPU_CHUNK if inputs.device.type == "cpu" else _DEVICE_CHUNK
        full, rest = divmod(inputs.size(0), self._chunk)
        super().__init__(memory, given, [self._chunk] * full + ([rest] if rest or not full else []))

    def rows(self, tensor: Tensor) -> Sequence[Tensor]:
        """Split a tensor with all rows."""
        return tensor.split(self._chunk) if len(self.counts) > 1 else (tensor,)

    def mask(self, mask: Tensor) -> Iterator[Tensor]:
        """Rows of a mask (B, width), created lazily for each chunk."""
        return (mask.index_select(0, part) for part in self.rows(self.memory.sequences()))


def _in_lanes(tensors: Iterable[Tensor], count: int) -> Iterable[Tensor]:
    """View tensors (rows, lanes * units) as (rows, lanes, units)."""
    if isinstance(tensors, repeat):
        return repeat(next(tensors).unflatten(1, (count, -1)))
    return (tensor.unflatten(1, (count, -1)) for tensor in tensors)

"""The memory of one call: buffers and scratch, and what comes from and goes to the caller."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING

import torch

from cellzoo.runtime.program import BufferKind
from cellzoo.runtime.torch_engine.operands import External, MixtureParameters

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from cellzoo.runtime.program import Plan
    from cellzoo.runtime.torch_engine.blocks import Blocks
    from cellzoo.runtime.torch_engine.operands import Biases, Matrix, ParameterLanes, Total
    from cellzoo.runtime.torch_engine.order import Order


@dataclass
class Given:
    """Tensors of a call, all of one dtype.

    Attributes:
        rows: Inputs (N, E), outputs (N, H), and the gradients of both, as far as they are there.
        states: Initial states, each (B, width).
        weights: By the plan's index; None for an absent bias.
        masks: Of x (B, E) and of hidden values (B, H), or None.
        parameters: Mixture parameters, or None.
        parameter_gradients: Theirs, gathered step by step.
        moments: Takes the mean and the variance (1, H) that each norm finds at each step of several rows; None
            where nobody asks.
        totals: Gradients of vectors and scalars, gathered step by step: one number a unit.
    """

    rows: dict[External, Tensor]
    states: Sequence[Tensor]
    weights: Sequence[Tensor | None]
    masks: tuple[Tensor | None, Tensor | None] = (None, None)
    parameters: Tensor | None = None
    parameter_gradients: Tensor | None = None
    moments: list[tuple[Tensor, Tensor]] | None = None
    totals: dict[Total, Tensor] = field(default_factory=dict)
    _lane_gradients: dict[ParameterLanes, Tensor] = field(default_factory=dict)
    _matrices: dict[tuple[tuple[int, ...], ...], Tensor] = field(default_factory=dict)

    def weight(self, index: int) -> Tensor:
        """A weight that is there."""
        weight = self.weights[index]
        assert weight is not None  # noqa: S101 - compiled code reads no absent one
        return weight

    def mask(self, index: int) -> Tensor:
        """A mask that is there."""
        mask = self.masks[index]
        assert mask is not None  # noqa: S101 - a plan with masks is made where there are some
        return mask

    def matrix(self, operand: Matrix) -> Tensor:
        """Weights joined, once a call."""
        grid = operand.grid
        if grid not in self._matrices:
            self._matrices[grid] = _join([_join([self.weight(index) for index in row], 1) for row in grid], 0)
        return self._matrices[grid].t() if operand.transposed else self._matrices[grid]

    def biases(self, operand: Biases, width: int) -> Tensor:
        """Vectors end to end."""
        zeros = [self.rows[External.INPUT].new_zeros(width)] if None in operand.weights else []
        return _join([zeros[0] if index is None else self.weight(index) for index in operand.weights], 0)

    def some_parameters(self, operand: MixtureParameters) -> Tensor:
        """A piece of the mixture parameters, or of their gradients."""
        vector = self.parameter_gradients if operand.gradient else self.parameters
        assert vector is not None  # noqa: S101 - a plan with mixtures is called with parameters
        return vector.narrow(0, operand.first, operand.count)

    def lanes_of_parameters(self, operand: ParameterLanes) -> Tensor:
        """Mixture parameters lane by lane, or where their gradients are gathered; (count, lanes, 1)."""
        assert self.parameters is not None  # noqa: S101 - a plan with mixtures is called with parameters
        if not operand.gradient:
            lanes = [self.parameters.narrow(0, first, operand.count) for first in operand.firsts]
            return torch.stack(lanes, dim=1).unsqueeze(2)
        if operand not in self._lane_gradients:
            shape = (operand.count, len(operand.firsts), 1)
            self._lane_gradients[operand] = self.parameters.new_zeros(shape)
        return self._lane_gradients[operand]

    def add_up_lanes(self) -> None:
        """Add the gradients that were gathered lane by lane to those of all parameters."""
        for operand, gathered in self._lane_gradients.items():
            for lane, first in enumerate(operand.firsts):
                own = MixtureParameters(first, operand.count, gradient=True)
                self.some_parameters(own).add_(gathered[:, lane, 0])
        self._lane_gradients.clear()

    def total(self, operand: Total, width: int) -> Tensor:
        """Where the gradient of a vector or scalar is gathered; zeros at first."""
        if operand not in self.totals:
            like = self.rows[External.INPUT]
            # Sums over many rows are kept in single precision at least.
            dtype = torch.promote_types(like.dtype, torch.float32)
            self.totals[operand] = like.new_zeros(width, dtype=dtype)
        return self.totals[operand]


class BatchMemory:
    """Buffers for one batch.

    Attributes:
        plan: The plan.
        order: How the forward walk goes.
        keeps_states: Whether states are kept at every step, for the walk back.
        blocks: (N, columns) each, (B, columns) for values of one step.
        states: For each state (N + B, width), where row r is what packed row r starts from; without a walk
            back (2 * B, width), used in turn.
        carries: For each state (2 * B, width), used in turn.
    """

    def __init__(
        self, plan: Plan, blocks: Blocks, order: Order, sizes: Mapping[str, int], like: Tensor
    ) -> None:
        self.plan = plan
        self.order = order
        self.keeps_states = bool(plan.backward_step)
        self._arranged = blocks
        self._sizes = sizes
        self._like = like
        self._scratch: dict[tuple[str, str, int], Tensor] = {}
        self._sequences: Tensor | None = None
        self._units = [sizes[buffer.width] for buffer in plan.buffers]
        total, batch = order.rows.total, order.rows.batch
        self.blocks: list[Tensor] = []
        self._first: dict[int, int] = {}
        for members in blocks.members:
            starts = list(accumulate((self._units[index] for index in members), initial=0))
            self._first.update(zip(members, starts, strict=False))
            self.blocks.append(self._empty(total if self.has_all_rows(members[0]) else batch, starts[-1]))
        kept = total + batch if self.keeps_states else 2 * batch
        self.states = [self._empty(kept, sizes[width]) for width in plan.states]
        self.carries = [self._empty(2 * batch, sizes[width]) for width in plan.states if self.keeps_states]

    def width(self, name: str) -> int:
        """Number of units of a width."""
        return self._sizes[name]

    def has_all_rows(self, buffer: int) -> bool:
        """Whether a buffer has a row for each row of the batch."""
        return self.plan.buffers[buffer].kind is BufferKind.ALL

    def columns(self, buffers: Sequence[int]) -> Tensor:
        """All rows of buffers that lie side by side."""
        block, _ = self._arranged.place(buffers[0])
        units = sum(self._units[index] for index in buffers)
        return self.blocks[block].narrow(1, self._first[buffers[0]], units)

    def scratch(self, name: str, width: str, total: int, rows: int) -> Tensor:
        """Memory (rows, total * width) that every kernel may overwrite."""
        key = (name, width, total)
        found = self._scratch.get(key)
        if found is None or found.size(0) < rows:
            found = self._scratch[key] = self._empty(rows, total * self._sizes[width])
        return found[:rows]

    def drop_scratch(self) -> None:
        """Give scratch memory back between the walks."""
        self._scratch.clear()

    def sequences(self) -> Tensor:
        """For each packed row, the number of its sequence."""
        if self._sequences is None:
            numbers = torch.arange(self.order.rows.batch, device=self._like.device)
            self._sequences = torch.cat([numbers[:count] for count in self.order.rows.batch_sizes])
        return self._sequences

    def _empty(self, rows: int, width: int) -> Tensor:
        return self._like.new_empty(rows, width)


def _join(parts: Sequence[Tensor], dim: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), dim)

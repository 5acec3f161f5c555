"""The memory of one call: buffers, scratch memory, and the tensors of the caller."""

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
    """The tensors of a call, all of one dtype.

    Attributes:
        rows: Inputs (N, E), outputs (N, H), and the gradients of both, if present.
        states: Initial states, each (B, width).
        weights: By the plan's index; None for an absent bias.
        masks: Of x (B, E) and of hidden values (B, H), or None.
        parameters: Mixture parameters, or None.
        parameter_gradients: Gradients of the mixture parameters, accumulated step by step.
        moments: Receives the mean and the variance (1, H) of each norm at each step with several rows; None if
            not wanted.
        totals: Gradients of vectors and scalars, accumulated step by step, with one number per unit.
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
        """The weight of an index, which must be present."""
        weight = self.weights[index]
        assert weight is not None  # noqa: S101 - compiled code does not read absent weights
        return weight

    def mask(self, index: int) -> Tensor:
        """The mask of an index, which must be present."""
        mask = self.masks[index]
        assert mask is not None  # noqa: S101 - plans with masks are used only if there are masks
        return mask

    def matrix(self, operand: Matrix) -> Tensor:
        """Concatenated weights, cached for the call."""
        grid = operand.grid
        if grid not in self._matrices:
            self._matrices[grid] = _join([_join([self.weight(index) for index in row], 1) for row in grid], 0)
        return self._matrices[grid].t() if operand.transposed else self._matrices[grid]

    def biases(self, operand: Biases, width: int) -> Tensor:
        """Concatenated vectors."""
        zeros = [self.rows[External.INPUT].new_zeros(width)] if None in operand.weights else []
        return _join([zeros[0] if index is None else self.weight(index) for index in operand.weights], 0)

    def some_parameters(self, operand: MixtureParameters) -> Tensor:
        """A slice of the mixture parameters, or of their gradients."""
        vector = self.parameter_gradients if operand.gradient else self.parameters
        assert vector is not None  # noqa: S101 - a plan with mixtures is called with parameters
        return vector.narrow(0, operand.first, operand.count)

    def lanes_of_parameters(self, operand: ParameterLanes) -> Tensor:
        """Mixture parameters by lane, or the accumulator of their gradients; (count, lanes, 1)."""
        assert self.parameters is not None  # noqa: S101 - a plan with mixtures is called with parameters
        if not operand.gradient:
            lanes = [self.parameters.narrow(0, first, operand.count) for first in operand.firsts]
            return torch.stack(lanes, dim=1).unsqueeze(2)
        if operand not in self._lane_gradients:
            shape = (operand.count, len(operand.firsts), 1)
            self._lane_gradients[operand] = self.parameters.new_zeros(shape)
        return self._lane_gradients[operand]

    def reduce_lanes(self) -> None:
        """Add the gradients accumulated by lane to those of the mixture parameters."""
        for operand, gathered in self._lane_gradients.items():
            for lane, first in enumerate(operand.firsts):
                own = MixtureParameters(first, operand.count, gradient=True)
                self.some_parameters(own).add_(gathered[:, lane, 0])
        self._lane_gradients.clear()

    def total(self, operand: Total, width: int) -> Tensor:
        """The accumulator of the gradient of a vector or scalar, initially zeros."""
        if operand not in self.totals:
            like = self.rows[External.INPUT]
            # Sums over many rows are accumulated at least in single precision.
            dtype = torch.promote_types(like.dtype, torch.float32)
            self.totals[operand] = like.new_zeros(width, dtype=dtype)
        return self.totals[operand]


class BatchMemory:
    """The buffers of one batch.

    Attributes:
        plan: The plan.
        order: Order of the steps in the forward pass.
        keeps_states: Whether states are kept at every step for the backward pass.
        blocks: (N, columns) each, or (B, columns) for values of one step.
        states: For each state (N + B, width), where row r is the state before packed row r; without a backward
            pass (2 * B, width), a double buffer.
        carries: For each state (2 * B, width), a double buffer.
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
        """Whether a buffer has a row for each packed row."""
        return self.plan.buffers[buffer].kind is BufferKind.ALL

    def columns(self, buffers: Sequence[int]) -> Tensor:
        """All rows of adjacent buffers."""
        block, _ = self._arranged.place(buffers[0])
        units = sum(self._units[index] for index in buffers)
        return self.blocks[block].narrow(1, self._first[buffers[0]], units)

    def scratch(self, name: str, width: str, total: int, rows: int) -> Tensor:
        """Scratch memory (rows, total * width), which every kernel may overwrite."""
        key = (name, width, total)
        found = self._scratch.get(key)
        if found is None or found.size(0) < rows:
            found = self._scratch[key] = self._empty(rows, total * self._sizes[width])
        return found[:rows]

    def drop_scratch(self) -> None:
        """Release scratch memory between forward and backward pass."""
        self._scratch.clear()

    def sequences(self) -> Tensor:
        """The sequence number of each packed row."""
        if self._sequences is None:
            numbers = torch.arange(self.order.rows.batch, device=self._like.device)
            self._sequences = torch.cat([numbers[:count] for count in self.order.rows.batch_sizes])
        return self._sequences

    def _empty(self, rows: int, width: int) -> Tensor:
        return self._like.new_empty(rows, width)


def _join(parts: Sequence[Tensor], dim: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), dim)

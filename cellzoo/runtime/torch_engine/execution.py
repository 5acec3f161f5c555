"""Executes a compiled plan: forward pass, backward pass, and gradients of weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from cellzoo.runtime.program import ViewKind
from cellzoo.runtime.torch_engine.operands import BufferColumns, External, StateRows
from cellzoo.runtime.torch_engine.walk import InputWalk, StepWalk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from cellzoo.runtime.torch_engine.compiled import CompiledPlan, Phase
    from cellzoo.runtime.torch_engine.gradients import WeightProduct
    from cellzoo.runtime.torch_engine.memory import BatchMemory, Given
    from cellzoo.runtime.torch_engine.operands import Operand

_CHUNK = 1024
"""Rows per chunk of a weight gradient with a mask."""


class Execution:
    """One execution of a compiled plan.

    Attributes:
        compiled: The compiled plan.
        memory: Memory of the execution.
        given: Tensors of the caller.
    """

    def __init__(self, compiled: CompiledPlan, memory: BatchMemory, given: Given) -> None:
        self.compiled = compiled
        self.memory = memory
        self.given = given

    def forward(self) -> list[Tensor]:
        """Write the outputs into `given`; returns the final states, each (B, width)."""
        self._run_input(self.compiled.forward_input)
        walk = StepWalk(self.memory, self.given, self.memory.order)
        views = (ViewKind.STATE_IN, ViewKind.STATE_OUT)
        final = _carry(walk, self.compiled.forward_step, self.given.states, views)
        self.memory.drop_scratch()
        return final

    def backward(self, final_gradients: Sequence[Tensor | None]) -> list[Tensor]:
        """Run the backward pass; writes the gradient of the inputs into `given`, if wanted.

        Args:
            final_gradients: Gradients of the final states, each (B, width) or None for zero.

        Returns:
            The gradients of the initial states.
        """
        walk = StepWalk(self.memory, self.given, self.memory.order.opposite)
        views = (ViewKind.CARRY_IN, ViewKind.CARRY_OUT)
        initial = _carry(walk, self.compiled.backward_step, final_gradients, views)
        self._run_input(self.compiled.backward_input)
        return initial

    def weight_gradients(self) -> dict[int, Tensor]:
        """Compute the gradients of the wanted weights, after `backward`."""
        gradients: dict[int, Tensor] = {}

        def add(weight: int, share: Tensor) -> None:
            gradients[weight] = gradients[weight] + share if weight in gradients else share

        for product in self.compiled.weight_products:
            assert isinstance(product.deltas, BufferColumns)  # noqa: S101 - deltas are kept for all rows
            widths = [self.memory.columns((buffer,)).size(1) for buffer in product.deltas.buffers]
            rows = self._weight_product(product).split(widths)
            for share, weights in zip(rows, product.weights, strict=True):
                for position, weight in enumerate(weights):
                    add(weight, share.clone() if position else share)
        for weight, buffer in self.compiled.sums:
            add(weight, self._reduced(weight, self.memory.columns((buffer,)).sum(0)))
        for total, value in self.given.totals.items():
            add(total.weight, self._reduced(total.weight, value))
        return gradients

    def _weight_product(self, product: WeightProduct) -> Tensor:
        deltas = self._all_rows(product.deltas)  # (N, outs)
        source = self._all_rows(product.source)  # (N, in)
        if product.mask is None:
            return torch.mm(deltas.t(), source)
        mask = self.given.mask(product.mask)
        result = deltas.new_zeros(deltas.size(1), source.size(1))
        chunks = (tensor.split(_CHUNK) for tensor in (deltas, source, self.memory.sequences()))
        for delta, rows, sequences in zip(*chunks, strict=True):
            result.addmm_(delta.t(), rows * mask.index_select(0, sequences))
        return result

    def _run_input(self, phase: Phase) -> None:
        if phase.actions:
            for _ in InputWalk(self.memory, self.given).run(phase):
                pass

    def _all_rows(self, operand: Operand) -> Tensor:
        match operand:
            case BufferColumns(buffers=buffers):
                return self.memory.columns(buffers)
            case StateRows(buffer=buffer):
                state = self.memory.states[self.memory.plan.buffers[buffer].index]
                return state[: self.memory.order.rows.total]
            case External.INPUT:
                return self.given.rows[operand]
        raise AssertionError(f"{operand!r} is not kept for all rows")

    def _reduced(self, weight: int, units: Tensor) -> Tensor:
        """The gradient of a vector from that of its units, or of a scalar, which is their sum."""
        return units if self.memory.plan.weight_widths[weight] else units.sum().reshape(1)


def _carry(
    walk: StepWalk, phase: Phase, initial: Sequence[Tensor | None], views: tuple[ViewKind, ViewKind]
) -> list[Tensor]:
    """Run a step phase: load the initial states of sequences where they begin, and save their final ones.

    Args:
        walk: The loop over steps.
        phase: The phase.
        initial: For each state (B, width), or None for zeros.
        views: The views by which a step reads and writes states.

    Returns:
        The final states, each (B, width).
    """
    before, after = ([walk.state(kind, index) for index in range(len(initial))] for kind in views)
    for value, places in zip(initial, before, strict=True):
        for position, first, end in walk.order.arrivals:
            rows = places[position][first:end]
            if value is None:
                rows.zero_()
            else:
                rows.copy_(value[first:end])
    final = [places[0].new_empty(walk.order.rows.batch, places[0].size(1)) for places in before]
    departures = {position: (first, end) for position, first, end in walk.order.departures}
    for position in walk.run(phase):
        if position in departures:
            first, end = departures[position]
            for value, places in zip(final, after, strict=True):
                value[first:end].copy_(places[position][first:end])
    return final

"""Dtypes of results: those of the reference engine, found by running it on a tiny input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from cellzoo.runtime.autocast import autocast_dtype
from cellzoo.runtime.reference import ReferenceRuntime

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from cellzoo.cells.cell import Cell


class ResultDtypes:
    """Dtypes of outputs and final states of a cell, cached by the dtypes of the arguments."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._known: dict[tuple[object, ...], tuple[torch.dtype, ...]] = {}

    def __call__(
        self,
        inputs: Tensor,
        batch_sizes: Sequence[int],
        states: Sequence[Tensor],
        weights: Mapping[str, Tensor],
        masks: Sequence[Tensor | None],
        *,
        reverse: bool,
    ) -> tuple[torch.dtype, ...]:
        """Dtypes of the outputs and of each final state; arguments as in `cellzoo.runtime.Runtime`."""
        autocast = autocast_dtype(inputs.device)
        given = [inputs, *states, *weights.values(), *(mask for mask in masks if mask is not None)]
        if autocast is None and all(tensor.dtype == inputs.dtype for tensor in given):
            return (inputs.dtype,) * (1 + len(states))
        # Dtypes of states propagate from state to state, one step at a time.
        sizes = _few(batch_sizes, len(states) + 2, reverse=reverse)
        dtypes = tuple(None if tensor is None else tensor.dtype for tensor in (*given, *masks))
        key = (inputs.device, autocast, dtypes, tuple(weights), sizes, reverse)
        if key not in self._known:
            self._known[key] = self._run_reference(inputs, sizes, states, weights, masks, reverse=reverse)
        return self._known[key]

    def _run_reference(
        self,
        inputs: Tensor,
        sizes: tuple[int, ...],
        states: Sequence[Tensor],
        weights: Mapping[str, Tensor],
        masks: Sequence[Tensor | None],
        *,
        reverse: bool,
    ) -> tuple[torch.dtype, ...]:
        units = self._cell.heads
        shapes = self._cell.parameter_shapes(input_size=units, hidden_size=units)
        mask_x, mask_h = (None if mask is None else mask.new_ones(sizes[0], units) for mask in masks)
        with torch.no_grad():
            output, final = ReferenceRuntime(self._cell)(
                inputs.new_zeros(sum(sizes), units),
                sizes,
                [state.new_zeros(sizes[0], units) for state in states],
                {name: weight.new_zeros(shapes[name]) for name, weight in weights.items()},
                reverse=reverse,
                mask_x=mask_x,
                mask_h=mask_h,
            )
        return (output.dtype, *(state.dtype for state in final))


def _few(batch_sizes: Sequence[int], steps: int, *, reverse: bool) -> tuple[int, ...]:
    """Batch sizes of few steps and rows, at which sequences begin and end in the same order as in the batch."""
    walk = list(batch_sizes[::-1] if reverse else batch_sizes)
    chosen = walk if len(walk) <= steps + 1 else [*walk[:steps], walk[-1]]
    ranks = {size: rank for rank, size in enumerate(sorted(set(chosen)), start=1)}
    return tuple(ranks[size] for size in (chosen[::-1] if reverse else chosen))

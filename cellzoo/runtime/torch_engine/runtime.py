"""The engine `torch`, for cells and for plans."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch.jit import is_tracing  # type: ignore[attr-defined]

from cellzoo.cells.graph import HIDDEN_WIDTH, INPUT_WIDTH
from cellzoo.runtime.autocast import widest_dtype, without_autocast
from cellzoo.runtime.interface import Engine
from cellzoo.runtime.lowering import Lowering
from cellzoo.runtime.once import variant_of
from cellzoo.runtime.plan import cell_plans
from cellzoo.runtime.reference import ReferenceRuntime
from cellzoo.runtime.torch_engine.call import Arguments, CallForm
from cellzoo.runtime.torch_engine.compiled import compile_plan
from cellzoo.runtime.torch_engine.dtypes import ResultDtypes
from cellzoo.runtime.torch_engine.function import Run
from cellzoo.runtime.torch_engine.order import Order, Rows
from cellzoo.runtime.torch_engine.recordings import Recordings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from cellzoo.cells.cell import Cell
    from cellzoo.runtime.plan import Plans, Variant
    from cellzoo.runtime.program import Plan
    from cellzoo.runtime.torch_engine.compiled import CompiledPlan

_MOST_COMPILED = 128


class TorchPlans:
    """Runs plans, on any device and in any floating dtype. See `cellzoo.runtime.PlanRuntime` for the call.

    Everything is computed in one dtype, the promoted dtype of all tensors. Autocast is disabled, so there is no
    loss of precision where autocast would use half precision.

    Args:
        recordings: Recordings of calls; None for CUDA graphs on CUDA devices.
    """

    ran = ("torch",)

    def __init__(self, recordings: Recordings | None = None) -> None:
        self._recordings = recordings or Recordings()
        self._compiled = lru_cache(_MOST_COMPILED)(_compile)

    def __call__(
        self,
        plans: Plans,
        inputs: Tensor,
        batch_sizes: Sequence[int],
        states: Sequence[Tensor],
        weights: Mapping[str, Tensor],
        *,
        reverse: bool = False,
        mask_x: Tensor | None = None,
        mask_h: Tensor | None = None,
        parameters: Tensor | None = None,
        norm_statistics: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run one of the plans.

        Raises:
            CellzooError: A mask requires a gradient.
        """
        masks = (mask_x, mask_h)
        learned = [*states, *weights.values(), *(() if parameters is None else (parameters,))]
        variant = variant_of("torch", inputs, learned, mask_x, mask_h)
        training = variant.training
        wanted = frozenset(name for name, weight in weights.items() if training and weight.requires_grad)
        compiled = self._compiled(plans, variant, frozenset(weights), wanted)
        plan = compiled.plan
        tensors = [inputs, *learned, *(mask for mask in masks if mask is not None)]
        call = CallForm(
            compiled,
            Order(Rows(tuple(batch_sizes)), reverse),
            _sizes(plan, inputs, states),
            widest_dtype(tensors),
            variant.input_gradient,
            norm_statistics is not None,
        )
        ordered = tuple(weights.get(name) for name in plan.weights)
        arguments = Arguments(inputs, parameters, tuple(states), ordered, masks)
        with without_autocast(inputs.device):
            if training:
                output, *final = Run.apply(call, self._recordings, len(states), *arguments.flat())
            else:
                with torch.no_grad():
                    (output, *final), _ = self._recordings.run(call, arguments)
        if norm_statistics is not None:
            norm_statistics.copy_(final.pop())
        return output, tuple(final)


def _compile(plans: Plans, variant: Variant, present: frozenset[str], wanted: frozenset[str]) -> CompiledPlan:
    plan = plans(variant)
    absent, asked = (
        frozenset(index for index, name in enumerate(plan.weights) if (name in names) is are_in)
        for names, are_in in ((present, False), (wanted, True))
    )
    return compile_plan(plan, absent, asked)


class TorchRuntime:
    """Runs a cell by its plans. See `cellzoo.runtime.Runtime` for the call."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self._run = TorchPlans()
        self._plans = cell_plans(cell)
        self._lowering = Lowering(cell)
        self._hidden_state = next(
            index for index, state in enumerate(cell.states) if state.width == HIDDEN_WIDTH
        )
        self._dtypes = ResultDtypes(cell)
        self._reference = ReferenceRuntime(cell)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and unpickled objects compile their own code, which cannot be pickled."""
        return TorchRuntime, (self.cell,)

    def __call__(
        self,
        inputs: Tensor,
        batch_sizes: Sequence[int],
        states: Sequence[Tensor],
        weights: Mapping[str, Tensor],
        *,
        reverse: bool = False,
        mask_x: Tensor | None = None,
        mask_h: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run the cell as `cellzoo.runtime.Runtime` says.

        Raises:
            CellzooError: A mask requires a gradient.
        """
        masks = (mask_x, mask_h)
        if torch.compiler.is_compiling() or is_tracing():
            # The plain operations of the reference engine can be traced; the preallocated memory of this one
            # cannot.
            return self._reference(
                inputs, batch_sizes, states, weights, reverse=reverse, mask_x=mask_x, mask_h=mask_h
            )
        dtypes = self._dtypes(inputs, batch_sizes, states, weights, masks, reverse=reverse)
        hidden_size = states[self._hidden_state].size(1)
        weights = self._lowering(weights, like=inputs, hidden_size=hidden_size)
        output, final = self._run(
            self._plans, inputs, batch_sizes, states, weights, reverse=reverse, mask_x=mask_x, mask_h=mask_h
        )
        results = [value.to(dtype) for value, dtype in zip((output, *final), dtypes, strict=True)]
        return results[0], tuple(results[1:])


def _sizes(plan: Plan, inputs: Tensor, states: Sequence[Tensor]) -> dict[str, int]:
    """Width -> number of units, for all widths of a plan."""
    sizes = {INPUT_WIDTH: inputs.size(1)}
    sizes |= {width: state.size(1) for width, state in zip(plan.states, states, strict=True)}
    widths = {buffer.width for buffer in plan.buffers} | {plan.output_width}
    return sizes | {width: int(width) for width in widths if width.isdecimal()}


ENGINE = Engine(TorchRuntime, TorchPlans)

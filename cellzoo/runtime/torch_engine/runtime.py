"""The engines: for a cell, and for whatever has plans."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import torch
from torch.jit import is_tracing  # type: ignore[attr-defined]

from cellzoo.cells.graph import INPUT_WIDTH
from cellzoo.errors import CellzooError
from cellzoo.runtime.once import ADVICE
from cellzoo.runtime.plan import build_plan
from cellzoo.runtime.reference import ReferenceRuntime
from cellzoo.runtime.torch_engine.call import Arguments, Call
from cellzoo.runtime.torch_engine.code import compile_plan
from cellzoo.runtime.torch_engine.dtypes import ResultDtypes
from cellzoo.runtime.torch_engine.function import Run, without_autocast
from cellzoo.runtime.torch_engine.order import Order, Rows
from cellzoo.runtime.torch_engine.recordings import Recordings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from cellzoo.cells.cell import Cell
    from cellzoo.runtime.program import Plan
    from cellzoo.runtime.torch_engine.code import Code


@dataclass(frozen=True)
class Variant:
    """Which plan a call needs; attributes as in `cellzoo.runtime.plan.build_plan`."""

    training: bool
    masked_x: bool
    masked_h: bool
    input_gradient: bool


class PlanRuntime:
    """Runs plans, on any device and in any floating dtype.

    Everything is computed in one dtype, the widest of what is given. Autocast changes no step of it: what would
    be half precision there is as exact as the tensors are.

    Args:
        build: Gives the plan for a variant. All plans of one cell name the same weights and states.
        recordings: Where calls are recorded; None for CUDA graphs on CUDA devices.
    """

    def __init__(self, build: Callable[[Variant], Plan], recordings: Recordings | None = None) -> None:
        self._build = build
        self._recordings = recordings or Recordings()
        self._codes: dict[tuple[Variant, frozenset[str], frozenset[str]], Code] = {}

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
        parameters: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run a plan.

        Args:
            inputs: As in `cellzoo.runtime.Runtime`, as all others but the last.
            batch_sizes: See there.
            states: See there.
            weights: See there.
            reverse: See there.
            mask_x: See there.
            mask_h: See there.
            parameters: Mixture parameters (P,), for plans that have some.

        Returns:
            Outputs and final states.

        Raises:
            CellzooError: A mask requires a gradient, which the plans do not give.
        """
        masks = (mask_x, mask_h)
        if any(mask is not None and mask.requires_grad for mask in masks):
            raise CellzooError(f"the engine 'torch' gives no gradients of masks; {ADVICE}")
        learned = [inputs, *states, *weights.values(), *([] if parameters is None else [parameters])]
        training = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in learned)
        variant = Variant(training, mask_x is not None, mask_h is not None, training and inputs.requires_grad)
        wanted = frozenset(name for name, weight in weights.items() if training and weight.requires_grad)
        code = self._code(variant, frozenset(weights), wanted)
        plan = code.plan
        tensors = [*learned, *(mask for mask in masks if mask is not None)]
        call = Call(
            code,
            Order(Rows(tuple(batch_sizes)), reverse),
            _sizes(plan, inputs, states),
            reduce(torch.promote_types, (tensor.dtype for tensor in tensors)),
            variant.input_gradient,
        )
        ordered = tuple(weights.get(name) for name in plan.weights)
        arguments = Arguments(inputs, parameters, tuple(states), ordered, masks)
        with without_autocast(inputs.device):
            if training:
                output, *final = Run.apply(call, self._recordings, len(states), *arguments.flat())
            else:
                with torch.no_grad():
                    (output, *final), _ = self._recordings.run(call, arguments)
        return output, tuple(final)

    def _code(self, variant: Variant, present: frozenset[str], wanted: frozenset[str]) -> Code:
        key = (variant, present, wanted)
        if key not in self._codes:
            plan = self._build(variant)
            absent = frozenset(index for index, name in enumerate(plan.weights) if name not in present)
            self._codes[key] = compile_plan(
                plan, absent, frozenset(index for index, name in enumerate(plan.weights) if name in wanted)
            )
        return self._codes[key]


class TorchRuntime:
    """Runs a cell by its plans. See `cellzoo.runtime.Runtime` for the call."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self._plans = PlanRuntime(self._plan)
        self._dtypes = ResultDtypes(cell)
        self._reference = ReferenceRuntime(cell)

    def __reduce__(self) -> tuple[Any, ...]:
        """Compiled code is no data; a copy compiles its own."""
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
            # A graph of plain operations can be traced; this engine's memory cannot.
            return self._reference(
                inputs, batch_sizes, states, weights, reverse=reverse, mask_x=mask_x, mask_h=mask_h
            )
        dtypes = self._dtypes(inputs, batch_sizes, states, weights, masks, reverse=reverse)
        output, final = self._plans(
            inputs, batch_sizes, states, weights, reverse=reverse, mask_x=mask_x, mask_h=mask_h
        )
        results = [value.to(dtype) for value, dtype in zip((output, *final), dtypes, strict=True)]
        return results[0], tuple(results[1:])

    def _plan(self, variant: Variant) -> Plan:
        return build_plan(
            self.cell,
            training=variant.training,
            masked_x=variant.masked_x,
            masked_h=variant.masked_h,
            input_gradient=variant.input_gradient,
        )


def _sizes(plan: Plan, inputs: Tensor, states: Sequence[Tensor]) -> dict[str, int]:
    """Number of units of each width of a plan."""
    sizes = {INPUT_WIDTH: inputs.size(1)}
    sizes |= {width: state.size(1) for width, state in zip(plan.states, states, strict=True)}
    widths = {buffer.width for buffer in plan.buffers} | {plan.output_width}
    return sizes | {width: int(width) for width in widths if width.isdecimal()}

"""The engine `native`: runs packed batches by the compiled library."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import torch

from cellzoo.cells.graph import HIDDEN_WIDTH
from cellzoo.errors import CellzooError
from cellzoo.runtime.autocast import autocast_dtype, widest_dtype
from cellzoo.runtime.interface import Engine
from cellzoo.runtime.lowering import Lowering
from cellzoo.runtime.native.binding import INSTRUCTION_SETS, has_bfloat16, load
from cellzoo.runtime.native.call import PreparedPlan, check_tensors
from cellzoo.runtime.once import variant_of
from cellzoo.runtime.plan import cell_plans

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from cellzoo.cells.cell import Cell
    from cellzoo.runtime.plan import Plans, Variant

_MOST_PREPARED = 128


class NativePlans:
    """Runs plans by the compiled library. See `cellzoo.runtime.PlanRuntime` for the call.

    Under autocast everything is computed and returned in float32, or in float64 if any tensor is; factors of
    products are rounded to bfloat16 if that is the dtype of autocast.

    Args:
        instruction_set: `baseline`, `avx2`, `avx512`, or None for the best of this machine.
        rounds: Whether float32 products have factors rounded to bfloat16, if the processor supports that.

    Raises:
        CellzooError: The library is not available; the message says why.
    """

    ran = ("native",)

    def __init__(self, instruction_set: str | None = None, *, rounds: bool = False) -> None:
        try:
            load()
        except OSError as error:
            raise CellzooError(
                f"the engine 'native' is not available: {error}; use runtime='torch', or see `cellzoo doctor`"
            ) from error
        self.instruction_set = instruction_set
        self.rounds = rounds and has_bfloat16()
        self._prepared = lru_cache(_MOST_PREPARED)(_prepare)

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
            CellzooError: A tensor is not on the CPU, not float32 or float64, or not of the same dtype as the
                others; a mask requires a gradient; or a plan with norms has a step with a single row.
        """
        autocast = autocast_dtype(inputs.device)
        rounds = self.rounds
        # The library writes to the address as to contiguous memory.
        moments = None if norm_statistics is None else norm_statistics.contiguous()
        if autocast is not None:
            rounds = rounds or (autocast == torch.bfloat16 and has_bfloat16())
            dtype = torch.promote_types(widest_dtype([inputs, *states, *weights.values()]), torch.float32)
            inputs = inputs.to(dtype)
            mask_x, mask_h, parameters, moments = (
                None if tensor is None else tensor.to(dtype) for tensor in (mask_x, mask_h, parameters, moments)
            )
            states = [state.to(dtype) for state in states]
            weights = {name: weight.to(dtype) for name, weight in weights.items()}
        learned = [*states, *weights.values(), *(() if parameters is None else (parameters,))]
        others = (mask_x, mask_h, moments)
        check_tensors([inputs, *learned, *(tensor for tensor in others if tensor is not None)])
        variant = variant_of("native", inputs, learned, mask_x, mask_h)
        widths = tuple(state.size(1) for state in states)
        prepared = self._prepared(plans, variant, inputs.size(1), widths)
        if batch_sizes[-1] == 1 and prepared.plan.norms:
            raise CellzooError(
                "the engine 'native' normalises the rows of a batch, and a step has a single one; "
                "use the engine 'auto' or 'torch'"
            )
        results = prepared(
            inputs,
            batch_sizes,
            states,
            weights,
            reverse=reverse,
            mask_x=mask_x,
            mask_h=mask_h,
            parameters=parameters,
            norm_statistics=moments if prepared.plan.norms else None,
            instruction_set=INSTRUCTION_SETS[self.instruction_set] if self.instruction_set else 0,
            rounds=rounds and inputs.dtype == torch.float32,
        )
        if norm_statistics is not None and moments is not None and moments is not norm_statistics:
            norm_statistics.copy_(moments)
        return results


class NativeRuntime:
    """Runs a cell by the compiled library. See `cellzoo.runtime.Runtime` for the call.

    Args:
        cell: The cell.
        instruction_set: As in `NativePlans`.
        rounds: As in `NativePlans`.

    Raises:
        CellzooError: As in `NativePlans`.
    """

    def __init__(self, cell: Cell, instruction_set: str | None = None, rounds: bool = False) -> None:
        self.cell = cell
        self._run = NativePlans(instruction_set, rounds=rounds)
        self._plans = cell_plans(cell)
        self._lowering = Lowering(cell)
        self._hidden_state = next(
            index for index, state in enumerate(cell.states) if state.width == HIDDEN_WIDTH
        )

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
            CellzooError: As in `NativePlans`.
        """
        hidden_size = states[self._hidden_state].size(1)
        weights = self._lowering(weights, like=inputs, hidden_size=hidden_size)
        return self._run(
            self._plans, inputs, batch_sizes, states, weights, reverse=reverse, mask_x=mask_x, mask_h=mask_h
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> NativeRuntime:
        """Share this object, which is immutable but for caches."""
        return self

    def __reduce__(self) -> tuple[type[NativeRuntime], tuple[Cell, str | None, bool]]:
        """Pickle the arguments only; the unpickled object prepares the engine again."""
        return NativeRuntime, (self.cell, self._run.instruction_set, self._run.rounds)


def _prepare(plans: Plans, variant: Variant, input_size: int, widths: tuple[int, ...]) -> PreparedPlan:
    plan = plans(variant)
    hidden_size = next(size for width, size in zip(plan.states, widths, strict=True) if width == HIDDEN_WIDTH)
    return PreparedPlan(plan, input_size=input_size, hidden_size=hidden_size)


ENGINE = Engine(
    NativeRuntime, NativePlans, partial(NativeRuntime, rounds=True), partial(NativePlans, rounds=True)
)

"""The engine `native`: hands a whole packed batch to the compiled library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from cellzoo.cells.graph import HIDDEN_WIDTH
from cellzoo.errors import CellzooError
from cellzoo.runtime.native.binding import INSTRUCTION_SETS, load
from cellzoo.runtime.native.call import PreparedPlan, check_tensors
from cellzoo.runtime.once import ADVICE
from cellzoo.runtime.plan import build_plan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from cellzoo.cells.cell import Cell


class NativeRuntime:
    """Runs a cell by the compiled library. See `cellzoo.runtime.Runtime` for the call.

    Args:
        cell: The cell.
        instruction_set: `baseline`, `avx2`, `avx512`, or None for the best of this machine.

    Raises:
        CellzooError: The library is not there; the message says why.
    """

    def __init__(self, cell: Cell, instruction_set: str | None = None) -> None:
        try:
            load()
        except OSError as error:
            raise CellzooError(
                f"the engine 'native' is not available: {error}; use runtime='torch', or see `cellzoo doctor`"
            ) from error
        self.cell = cell
        self.instruction_set = instruction_set
        self._prepared: dict[tuple[bool, bool, bool, bool, int, int], PreparedPlan] = {}

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
            CellzooError: A tensor is not on the CPU, or is neither float32 nor float64 like the others, or a
                mask requires a gradient.
        """
        masks = [mask for mask in (mask_x, mask_h) if mask is not None]
        learned = [inputs, *states, *weights.values()]
        check_tensors([*learned, *masks])
        if any(mask.requires_grad for mask in masks):
            raise CellzooError(f"the engine 'native' gives no gradients of masks; {ADVICE}")
        hidden_size = next(
            tensor.size(1)
            for state, tensor in zip(self.cell.states, states, strict=True)
            if state.width == HIDDEN_WIDTH
        )
        prepared = self._prepare(
            training=torch.is_grad_enabled() and any(tensor.requires_grad for tensor in learned),
            masked_x=mask_x is not None,
            masked_h=mask_h is not None,
            input_gradient=inputs.requires_grad,
            input_size=inputs.size(1),
            hidden_size=hidden_size,
        )
        return prepared(
            inputs,
            batch_sizes,
            states,
            weights,
            reverse=reverse,
            mask_x=mask_x,
            mask_h=mask_h,
            instruction_set=INSTRUCTION_SETS[self.instruction_set] if self.instruction_set else 0,
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> NativeRuntime:
        """Share what was prepared: it depends on the cell alone."""
        return self

    def __reduce__(self) -> tuple[type[NativeRuntime], tuple[Cell, str | None]]:
        """Prepare anew in the process that unpickles."""
        return NativeRuntime, (self.cell, self.instruction_set)

    def _prepare(
        self,
        *,
        training: bool,
        masked_x: bool,
        masked_h: bool,
        input_gradient: bool,
        input_size: int,
        hidden_size: int,
    ) -> PreparedPlan:
        key = (training, masked_x, masked_h, input_gradient, input_size, hidden_size)
        if key not in self._prepared:
            plan = build_plan(
                self.cell,
                training=training,
                masked_x=masked_x,
                masked_h=masked_h,
                input_gradient=input_gradient,
            )
            self._prepared[key] = PreparedPlan(plan, input_size=input_size, hidden_size=hidden_size)
        return self._prepared[key]

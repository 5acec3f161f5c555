"""The engine `auto`: at every call the fastest one that applies to the tensors at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.autograd import forward_ad
from torch.jit import is_tracing  # type: ignore[attr-defined]

from cellzoo.runtime.native.binding import is_available

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from cellzoo.cell import Cell
    from cellzoo.runtime import Runtime

_NATIVE_DTYPES = (torch.float32, torch.float64)


def choose(device: torch.device, dtype: torch.dtype) -> str:
    """Name of the fastest engine for tensors of a device and dtype.

    While torch traces, compiles, exports or transforms the call, or the tensors hold no data, that is
    `reference`, the only one that is made of torch operations alone.
    """
    if is_tracing() or torch.compiler.is_compiling() or _is_transformed() or device.type == "meta":
        return "reference"
    if (
        device.type == "cpu"
        and dtype in _NATIVE_DTYPES
        and not torch.is_autocast_enabled("cpu")
        and is_available()
    ):
        return "native"
    return "torch"


def _is_transformed() -> bool:
    """Whether this is inside torch.func.grad, vmap and the like, or in forward-mode differentiation."""
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


class AutoRuntime:
    """Hands each call to the engine that `choose` names. See `cellzoo.runtime.Runtime` for the call."""

    def __init__(self, cell: Cell, prepare: Callable[[str, Cell], Runtime]) -> None:
        self._cell = cell
        self._prepare = prepare
        self._engines: dict[str, Runtime] = {}

    def __reduce__(self) -> tuple[type[AutoRuntime], tuple[Cell, Callable[[str, Cell], Runtime]]]:
        """Copies and pickles prepare their engines anew."""
        return AutoRuntime, (self._cell, self._prepare)

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
        """Run the cell as `cellzoo.runtime.Runtime` says."""
        name = choose(inputs.device, inputs.dtype)
        if name not in self._engines:
            self._engines[name] = self._prepare(name, self._cell)
        engine = self._engines[name]
        return engine(inputs, batch_sizes, states, weights, reverse=reverse, mask_x=mask_x, mask_h=mask_h)

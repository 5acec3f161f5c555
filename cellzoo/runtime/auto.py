"""The engine `auto`: at every call the fastest one that applies to the tensors at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING
from warnings import warn

import torch
from torch.autograd import forward_ad
from torch.jit import is_tracing  # type: ignore[attr-defined]
from torch.utils._python_dispatch import _get_current_dispatch_mode

from cellzoo.runtime.native.binding import PlanError, is_available

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from cellzoo.cells.cell import Cell
    from cellzoo.runtime.interface import Runtime

# Subclasses may hold no data, or wrap a tensor that watches what is done with it.
_PLAIN = (torch.Tensor, torch.nn.Parameter)
_NATIVE_DTYPES = (torch.float32, torch.float64)


def choose(device: torch.device, dtype: torch.dtype) -> str:
    """Name of the fastest engine for tensors of a device and dtype.

    While torch traces, compiles, exports, transforms or watches the call, or the tensors hold no data, that is
    `reference`, the only one that is made of torch operations alone.
    """
    if is_tracing() or torch.compiler.is_compiling() or _is_transformed() or device.type == "meta":
        return "reference"
    if _get_current_dispatch_mode() is not None:
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
        # Ready from the start: what is exported must change nothing.
        self._engines: dict[str, Runtime] = {"reference": prepare("reference", cell)}

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
        is_plain = all(type(tensor) in _PLAIN for tensor in (inputs, *states, *weights.values()))
        name = choose(inputs.device, inputs.dtype) if is_plain else "reference"
        masks = {"mask_x": mask_x, "mask_h": mask_h}
        try:
            return self._engine(name)(inputs, batch_sizes, states, weights, reverse=reverse, **masks)
        except PlanError as error:
            warn(f"{error}; the engine 'torch' runs this call", RuntimeWarning, stacklevel=2)
            return self._engine("torch")(inputs, batch_sizes, states, weights, reverse=reverse, **masks)

    def _engine(self, name: str) -> Runtime:
        if name not in self._engines:
            self._engines[name] = self._prepare(name, self._cell)
        return self._engines[name]

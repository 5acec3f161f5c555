"""One step by the compiled library, again and again: what stays from call to call is filled in once."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cellzoo.runtime.native.binding import Call, check, load
from cellzoo.runtime.native.call import DTYPES, MOST_THREADS, PreparedPlan, pool

if TYPE_CHECKING:
    from collections.abc import Sequence


class NativeStep:
    """A step of one layer for inference. One thread may run it at a time.

    Args:
        prepared: Its plan, without masks, norms and parameters of mixtures.
        names: The weights that there are, in the order in which they will be given.
        batch: B.
        dtype: Of everything.

    Raises:
        PlanError: The library refuses the plan.
    """

    def __init__(self, prepared: PreparedPlan, names: Sequence[str], batch: int, dtype: torch.dtype) -> None:
        plan, self._encoded = prepared.plan, prepared.encoded
        self._dtype = dtype
        self._shapes = [prepared.shapes[name] for name in names]
        self._places = [plan.weights.index(name) for name in names]
        self._known: list[tuple[int, torch.dtype, torch.Size, bool]] = []
        self._sizes = (ctypes.c_int64 * 1)(batch)
        self._masks = (ctypes.c_void_p * 2)()
        self._initial, self._final = ((ctypes.c_void_p * len(plan.states))() for _ in range(2))
        self._weights = (ctypes.c_void_p * len(plan.weights))()
        self._call = Call(
            dtype=DTYPES[dtype],
            threads=min(torch.get_num_threads(), MOST_THREADS),
            steps=1,
            batch=batch,
            rows=batch,
            batch_sizes=self._sizes,
            initial=ctypes.addressof(self._initial),
            final=ctypes.addressof(self._final),
            masks=ctypes.addressof(self._masks),
            weights=ctypes.addressof(self._weights),
        )
        self._forward = load().cellzoo_forward
        self._plan = (self._encoded.integers, len(self._encoded.integers), self._encoded.constants)
        bytes_of = (ctypes.c_int64 * 2)()
        check(load().cellzoo_workspace(*self._plan[:2], self._call, False, bytes_of))
        self._memory = [pool().take(size) for size in bytes_of]
        self._call.saved, self._call.scratch = (block.address for block in self._memory)

    def run(
        self,
        source: int,
        output: int,
        initial: list[int],
        final: list[int],
        weights: Sequence[Tensor],
    ) -> bool:
        """Run it, or give False where a weight has another layout or type than the library takes.

        Args:
            source: Address of x, (B, E).
            output: Address of the output, (B, H).
            initial: Of each state.
            final: Of each next state.
            weights: As they are now.
        """
        found = [(weight.data_ptr(), weight.dtype, weight.shape, weight.is_contiguous()) for weight in weights]
        if found != self._known:
            if not self._fit(weights):
                return False
            for place, weight in zip(self._places, weights, strict=True):
                self._weights[place] = weight.data_ptr()
            self._known = found
        call = self._call
        call.inputs, call.outputs = source, output
        self._initial[:] = [*initial]
        self._final[:] = [*final]
        check(self._forward(*self._plan, call))
        return True

    def _fit(self, weights: Sequence[Tensor]) -> bool:
        return all(
            weight.dtype == self._dtype
            and weight.is_contiguous()
            and weight.device.type == "cpu"
            and weight.shape == shape
            and not weight.is_neg()
            and not weight._is_zerotensor()
            and weight.data_ptr() % weight.element_size() == 0
            for weight, shape in zip(weights, self._shapes, strict=True)
        )

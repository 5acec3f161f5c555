"""Repeated inference passes by the library, with call arguments that are reused from call to call."""

from __future__ import annotations

import ctypes
from struct import Struct
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cellzoo.runtime.native.binding import Call, check, load
from cellzoo.runtime.native.call import DTYPES, MOST_THREADS, PreparedPlan, pool

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

PLAIN = (Tensor, torch.nn.Parameter)
_ROWS = Struct("PP")  # the adjacent fields `inputs` and `outputs` of a call


class NativePass:
    """An inference pass of one layer over sequences of equal length. Not safe for concurrent use.

    Args:
        prepared: Its plan, without masks, norms and mixture parameters.
        names: Names of the weights, in the order in which `run` gets them.
        dtype: The dtype of all tensors.

    Attributes:
        dtype: The dtype of all tensors.
    """

    def __init__(self, prepared: PreparedPlan, names: Sequence[str], dtype: torch.dtype) -> None:
        plan, encoded = prepared.plan, prepared.encoded
        self.dtype = dtype
        self._shapes = [prepared.shapes[name] for name in names]
        self._places = [plan.weights.index(name) for name in names]
        self._known: list[tuple[int, torch.dtype, torch.Size, bool]] = []
        self._sizes = (0, 0, False, 0)
        self._masks = (ctypes.c_void_p * 2)()
        self._ends = (ctypes.c_void_p * (2 * len(plan.states)))()
        self._pack_ends = Struct(f"{2 * len(plan.states)}P").pack_into
        self._weights = (ctypes.c_void_p * len(plan.weights))()
        ends = ctypes.addressof(self._ends)
        self._call = Call(
            dtype=DTYPES[dtype],
            initial=ends,
            final=ends + ctypes.sizeof(self._ends) // 2,
            masks=ctypes.addressof(self._masks),
            weights=ctypes.addressof(self._weights),
        )
        plan_code = ctypes.cast(encoded.integers, ctypes.POINTER(ctypes.c_int64))
        constants = ctypes.cast(encoded.constants, ctypes.POINTER(ctypes.c_double))
        self._encoded = encoded  # keeps alive the memory of the pointers
        self._arguments = (plan_code, len(encoded.integers), constants, ctypes.pointer(self._call))
        self._forward = load().cellzoo_forward

    def run(
        self,
        x: Tensor,
        output: Tensor,
        steps: int,
        batch: int,
        reverse: bool,
        ends: list[int],
        weights: Collection[Tensor | None],
    ) -> bool:
        """Run the pass; returns False if the library does not support the layout or dtype of a weight.

        Args:
            x: T * B rows of E numbers, in any shape. The caller has checked that the library can read it.
            output: T * B rows of H numbers, in any shape.
            steps: T.
            batch: B.
            reverse: As in `cellzoo.runtime.Runtime`.
            ends: Addresses of the initial states, 0 for zeros, then of the final states.
            weights: The present weights.

        Raises:
            PlanError: The library refuses the plan.
        """
        found = [
            (weight.data_ptr(), weight.dtype, weight.shape, weight.is_contiguous())
            for weight in weights
            if type(weight) in PLAIN and weight is not None
        ]
        if found != self._known:
            self._known = []
            if not self._set_weights(weights):
                return False
            self._known = found
        sizes = (steps, batch, reverse, torch.get_num_threads())
        if sizes != self._sizes:
            self._set_sizes(*sizes)
        _ROWS.pack_into(self._call, Call.inputs.offset, x.data_ptr(), output.data_ptr())
        self._pack_ends(self._ends, 0, *ends)
        if status := self._forward(*self._arguments):
            check(status)
        return True

    def _set_weights(self, weights: Collection[Tensor | None]) -> bool:
        for place, weight, shape in zip(self._places, weights, self._shapes, strict=True):
            if (
                weight is None
                or type(weight) not in PLAIN
                or weight.dtype != self.dtype
                or not weight.is_contiguous()
                or weight.device.type != "cpu"
                or weight.shape != shape
                or weight.is_neg()
                or weight._is_zerotensor()
                or weight.data_ptr() % weight.element_size()
            ):
                return False
            self._weights[place] = weight.data_ptr()
        return True

    def _set_sizes(self, steps: int, batch: int, reverse: bool, threads: int) -> None:
        call = self._call
        self._batch_sizes = (ctypes.c_int64 * steps)(*[batch] * steps)
        call.batch_sizes = self._batch_sizes
        call.steps, call.batch, call.rows = steps, batch, steps * batch
        call.reverse, call.threads = reverse, min(threads, MOST_THREADS)
        bytes_of = (ctypes.c_int64 * 2)()
        check(load().cellzoo_workspace(*self._arguments[:2], call, False, bytes_of))
        self._memory = [pool().take(size) for size in bytes_of]
        call.saved, call.scratch = (block.address for block in self._memory)
        self._sizes = (steps, batch, reverse, threads)

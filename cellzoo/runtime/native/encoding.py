"""Encodes a plan as the array of integers that the library decodes in `plan_reader.cpp`."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cellzoo.runtime.program import Kernel, Plan

_VERSION = 2
_NORM_VIEWS = 4


@dataclass(frozen=True)
class EncodedPlan:
    """An encoded plan for given sizes."""

    integers: ctypes.Array[ctypes.c_int64]
    constants: ctypes.Array[ctypes.c_double]


def encode(plan: Plan, sizes: Mapping[str, int]) -> EncodedPlan:
    """Encode a plan.

    Args:
        plan: The plan.
        sizes: Width -> number of units, as `plan_sizes` gives them.
    """
    integers = list(_integers(plan, sizes))
    return EncodedPlan(
        (ctypes.c_int64 * len(integers))(*integers),
        (ctypes.c_double * len(plan.constants))(*plan.constants),
    )


def _integers(plan: Plan, sizes: Mapping[str, int]) -> Iterator[int]:
    number = {width: index for index, width in enumerate(plan.widths)}
    yield _VERSION
    yield len(number)
    yield from (sizes[width] for width in number)
    yield from (number["input"], number[plan.output_width])
    yield len(plan.states)
    yield from (number[width] for width in plan.states)
    yield len(plan.buffers)
    for buffer in plan.buffers:
        yield from (buffer.kind, number[buffer.width], buffer.index)
    yield len(plan.views)
    for view in plan.views:
        yield from (view.kind, view.buffer)
    yield len(plan.weights)
    for widths in plan.weight_widths:
        rows, columns = (*(number[width] for width in widths), 0, 0)[:2]
        yield from (len(widths), rows, columns)
    yield from (plan.num_parameters, len(plan.constants))
    for phase in (plan.forward_input, plan.forward_step, plan.backward_step, plan.backward_input):
        yield len(phase)
        for kernel in phase:
            yield from _kernel(kernel, number)
    yield len(plan.weight_gradients)
    for gradient in plan.weight_gradients:
        mask = -1 if gradient.mask is None else gradient.mask
        yield from (gradient.weight, gradient.delta, gradient.source, mask)


def _kernel(kernel: Kernel, number: Mapping[str, int]) -> Iterator[int]:
    yield from (number[kernel.width], kernel.barrier, kernel.registers, kernel.norm)
    yield from (*kernel.norm_views, *[0] * _NORM_VIEWS)[:_NORM_VIEWS]
    yield len(kernel.dots)
    for dot in kernel.dots:
        yield from (dot.source, len(dot.products))
        for product in dot.products:
            yield from (product.register, product.weight, product.transposed, product.init, product.init_index)
    yield len(kernel.program)
    for step in kernel.program:
        yield from (step.op, step.target, step.a, step.b, step.c, step.immediate)

"""The cost of a plan, and its description as text and as a diagram."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellzoo.runtime.memory import kernels_in_order
from cellzoo.runtime.program import BufferKind, Kernel, NormKind, Plan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_KEPT = (BufferKind.ALL, BufferKind.STATE, BufferKind.INPUT)


@dataclass(frozen=True)
class PlanCost:
    """The cost of a plan for one token, in one layer and direction.

    Attributes:
        forward_flops: Floating-point operations: 2 m n for a product, 1 for an elementwise instruction.
        backward_flops: The same of the backward pass, weight gradients included.
        kept: Numbers kept for the backward pass; multiply by the size of the dtype for bytes.
        weights: Numbers in all weights, which every step reads.
        levels: Length of the longest chain of dependent products or norms in a step.
    """

    forward_flops: int
    backward_flops: int
    kept: int
    weights: int
    levels: int


def cost(plan: Plan, sizes: Mapping[str, int]) -> PlanCost:
    """Compute the cost of a plan.

    Args:
        plan: The plan.
        sizes: Width -> number of units.
    """
    shapes = [[sizes[width] for width in widths] for widths in plan.weight_widths]

    def flops(kernel: Kernel) -> int:
        products = sum(2 * math.prod(shapes[product.weight]) for dot in kernel.dots for product in dot.products)
        return products + len(kernel.program) * sizes[kernel.width]

    backward = sum(flops(kernel) for kernel in (*plan.backward_step, *plan.backward_input))
    backward += sum(2 * math.prod(shapes[gradient.weight]) for gradient in plan.weight_gradients)
    return PlanCost(
        forward_flops=sum(flops(kernel) for kernel in (*plan.forward_input, *plan.forward_step)),
        backward_flops=backward,
        kept=sum(sizes[buffer.width] for buffer in plan.buffers if buffer.kind in _KEPT)
        if plan.backward_step
        else 0,
        weights=sum(map(math.prod, shapes)),
        levels=_levels(plan),
    )


def _levels(plan: Plan) -> int:
    """Norms of a step, and groups of products separated by barriers."""
    levels, had_barrier = 0, True
    for kernel in plan.forward_step:
        had_barrier |= kernel.barrier
        if kernel.norm is not NormKind.NONE:
            levels += 1
        elif kernel.dots and had_barrier:
            levels += 1
            had_barrier = False
    return levels


def describe(plan: Plan, sizes: Mapping[str, int]) -> str:
    """Describe a plan as text: its cost, then the products and elementwise operations of every kernel."""
    return "\n".join(_lines(plan, sizes)) + "\n"


def _lines(plan: Plan, sizes: Mapping[str, int]) -> Iterator[str]:
    total = cost(plan, sizes)
    yield f"a token: {total.forward_flops:,} FLOPs forward, {total.backward_flops:,} backward; " + (
        f"{total.kept:,} numbers kept for the backward pass" if plan.backward_step else "nothing kept"
    )
    yield f"a step: {total.levels} products one after another, {total.weights:,} weights read"
    for title, kernels in _phases(plan):
        yield ""
        yield title
        for kernel in kernels:
            yield f"  {kernel.label}"
            for dot in kernel.dots:
                weights = ", ".join(
                    plan.weights[product.weight] + ("ᵀ" if product.transposed else "")
                    for product in dot.products
                )
                yield f"    {_source(plan, dot.source)} × {weights}"
            names = [step.op.name.lower() for step in kernel.program]
            if names:
                yield f"    then {', '.join(names)}"
    if plan.weight_gradients:
        yield ""
        yield "weight gradients, over all rows"
        for gradient in plan.weight_gradients:
            yield f"  {plan.weights[gradient.weight]} += delta × {_source(plan, gradient.source)}"


def diagram(plan: Plan) -> str:
    """The forward kernels of a plan as a Mermaid flowchart; edges are the sources of products."""
    lines = ["flowchart TD", '  x(["x"])']
    writers: dict[int, str] = {}
    for index, (kernel, phase) in enumerate(
        [(kernel, "all rows") for kernel in plan.forward_input]
        + [(kernel, "a step") for kernel in plan.forward_step]
    ):
        name = f"k{index}"
        lines.append(f'  {name}["{phase}: {kernel.label}"]')
        for dot in kernel.dots:
            view = plan.views[dot.source]
            kind = plan.buffers[view.buffer].kind
            start = {BufferKind.INPUT: "x", BufferKind.STATE: f"s{view.buffer}"}.get(kind)
            start = start or writers.get(dot.source, "x")
            if kind is BufferKind.STATE:
                lines.append(f'  {start}(["{plan.buffers[view.buffer].label}"])')
            lines.append(f"  {start} -->|{len(dot.products)}| {name}")
        for step in kernel.program:
            if step.target < 0:
                writers[-1 - step.target] = name
    return "\n".join(dict.fromkeys(lines)) + "\n"


def _phases(plan: Plan) -> Iterator[tuple[str, tuple[Kernel, ...]]]:
    yield "all rows at once", plan.forward_input
    yield "each step", plan.forward_step
    if kernels_in_order(plan) != (*plan.forward_input, *plan.forward_step):
        yield "each step, backwards", plan.backward_step
        yield "all rows at once, backwards", plan.backward_input


def _source(plan: Plan, view: int) -> str:
    buffer = plan.buffers[plan.views[view].buffer]
    return f"[{buffer.label}]" if "," in buffer.label else buffer.label

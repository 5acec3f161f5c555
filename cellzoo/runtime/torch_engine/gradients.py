"""Gradients of weights: products and sums over the rows of all steps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cellzoo.runtime.program import BufferKind
from cellzoo.runtime.torch_engine.operands import BufferColumns
from cellzoo.runtime.torch_engine.steps import REDUCTIONS, view_operand

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cellzoo.runtime.program import Plan, WeightGradient
    from cellzoo.runtime.torch_engine.blocks import Blocks
    from cellzoo.runtime.torch_engine.operands import Operand
    from cellzoo.runtime.torch_engine.steps import Body


@dataclass(frozen=True)
class WeightProduct:
    """delta^T @ (source * mask): the gradients of several weights, stacked.

    Attributes:
        deltas: Adjacent gradients of linear values.
        source: The factor of the weights in the forward pass.
        mask: Number of the mask on the source, or None.
        weights: For each delta, the weights whose gradient its rows of the result are.
    """

    deltas: Operand
    source: Operand
    mask: int | None
    weights: tuple[tuple[int, ...], ...]


def weight_products(
    plan: Plan, blocks: Blocks, gradients: Sequence[WeightGradient]
) -> tuple[WeightProduct, ...]:
    """Join the gradients with a common source whose deltas are adjacent."""
    products = []
    for (source, mask), weights in _by_source(plan, gradients).items():
        for run in blocks.runs(weights):
            deltas = blocks.join(run)
            assert deltas is not None  # noqa: S101 - what runs are
            products.append(WeightProduct(deltas, source, mask, tuple(tuple(weights[delta]) for delta in run)))
    return tuple(products)


def delta_wishes(plan: Plan, gradients: Sequence[WeightGradient]) -> Iterator[frozenset[int]]:
    """Sets of buffers that should be adjacent for the gradients of weights."""
    for weights in _by_source(plan, gradients).values():
        buffers = [delta.buffers[0] for delta in weights if isinstance(delta, BufferColumns)]
        if len(buffers) > 1:
            yield frozenset(buffers)


def postpone_sums(plan: Plan, bodies: Sequence[Body]) -> tuple[list[Body], list[tuple[int, int]]]:
    """Replace reductions over buffers that are kept for all rows and not overwritten by one sum at the end.

    Returns:
        The bodies without these reductions, and (weight, buffer) for each of them.
    """
    last_write: dict[Operand, tuple[int, int]] = {}
    for index, body in enumerate(bodies):
        last_write.update(dict.fromkeys(body.written, (index, 0)))
        last_write.update(
            (step.target, (index, position))
            for position, step in enumerate(body.steps)
            if step.target is not None
        )
    result, sums = [], []
    for index, body in enumerate(bodies):
        steps = []
        for position, step in enumerate(body.steps):
            place = step.args[0] if step.op in REDUCTIONS else None
            if (
                isinstance(place, BufferColumns)
                and plan.buffers[place.buffers[0]].kind is BufferKind.ALL
                and last_write.get(place, (-1, 0)) <= (index, position)
            ):
                sums.append((step.immediate, place.buffers[0]))
            else:
                steps.append(step)
        result.append(replace(body, steps=tuple(steps)))
    return result, sums


def _by_source(
    plan: Plan, gradients: Sequence[WeightGradient]
) -> dict[tuple[Operand, int | None], dict[Operand, list[int]]]:
    """(source, mask) -> delta -> weights."""
    found: dict[tuple[Operand, int | None], dict[Operand, list[int]]] = {}
    for gradient in gradients:
        key = (view_operand(plan, gradient.source), gradient.mask)
        found.setdefault(key, {}).setdefault(view_operand(plan, gradient.delta), []).append(gradient.weight)
    return found

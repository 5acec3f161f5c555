"""Symbolic arithmetic on values of the form a * h + b, elementwise, with known a and b."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

Part: TypeAlias = "Tensor | float"
"""The constants 0 and 1 are floats, so that operations with them are skipped."""


class Affine(NamedTuple):
    """The value factor * h + term."""

    factor: Part
    term: Part


def affine(op: str, operands: Sequence[Affine]) -> Affine:
    """Apply a primitive, or a copy, whose result `cellzoo.runtime.recurrence` has found to be affine.

    Args:
        op: Its name.
        operands: Its inputs; those that do not depend on h have the factor 0.
    """
    first = operands[0]
    if op in ("add", "mean"):
        total = reduce(lambda one, other: _each(_plus, one, other), operands)
        share = 1 / len(operands)
        return total if op == "add" else Affine(*(_times(part, share) for part in total))
    if op == "subtract":
        return _each(_minus, first, operands[1])
    if op == "multiply":
        return _product(first, operands[1])
    if op == "divide":
        divisor = operands[1].term
        return Affine(*(0.0 if _is(part, 0) else part / divisor for part in first))
    if op == "blend":
        z, one, other = operands
        if not _is(z.factor, 0):
            return _each(_plus, _product(z, _each(_minus, one, other)), other)
        return _each(lambda a, b: _blend(z.term, a, b), one, other)
    return first


def _each(function: Callable[[Part, Part], Part], one: Affine, other: Affine) -> Affine:
    return Affine(function(one.factor, other.factor), function(one.term, other.term))


def _product(one: Affine, other: Affine) -> Affine:
    """The product of two values, of which at least one has the factor 0."""
    factor = _plus(_times(one.factor, other.term), _times(one.term, other.factor))
    return Affine(factor, _times(one.term, other.term))


def _blend(z: Part, one: Part, other: Part) -> Part:
    if _is(one, 0):
        return _times(_minus(1.0, z), other)
    if isinstance(one, float) or isinstance(other, float) or isinstance(z, float):
        return _plus(_times(z, _minus(one, other)), other)
    return other.lerp(one, z)


def _plus(one: Part, other: Part) -> Part:
    return other if _is(one, 0) else one if _is(other, 0) else one + other


def _minus(one: Part, other: Part) -> Part:
    return one if _is(other, 0) else one - other


def _times(one: Part, other: Part) -> Part:
    if _is(one, 0) or _is(other, 0):
        return 0.0
    return other if _is(one, 1) else one if _is(other, 1) else one * other


def _is(part: Part, number: float) -> bool:
    return isinstance(part, float) and part == number

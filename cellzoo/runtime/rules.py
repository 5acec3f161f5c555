"""The forward and backward rules of elementwise operations, from which plans are built.

The backward rule of an operation also says which of its inputs, and whether its result, it reads, so that
nothing else is kept for the backward pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellzoo.runtime.graph import COPY, MASK, Value
from cellzoo.runtime.program import Op

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cellzoo.runtime.emitter import Emitter

RESULT = -1

_UNARY = {
    "tanh": (Op.TANH, Op.TANH_BACKWARD),
    "sigmoid": (Op.SIGMOID, Op.SIGMOID_BACKWARD),
    "relu": (Op.RELU, Op.RELU_BACKWARD),
    "leaky_relu": (Op.LEAKY_RELU, Op.LEAKY_RELU_BACKWARD),
    "selu": (Op.SELU, Op.SELU_BACKWARD),
    "exp": (Op.EXP, Op.MULTIPLY),
    "softplus": (Op.SOFTPLUS, Op.SOFTPLUS_BACKWARD),
    "hard_sigmoid": (Op.HARD_SIGMOID, Op.HARD_SIGMOID_BACKWARD),
    "sqrt": (Op.SQRT, Op.SQRT_BACKWARD),
}
_BINARY = {
    "subtract": Op.SUBTRACT,
    "multiply": Op.MULTIPLY,
    "divide": Op.DIVIDE,
    "minimum": Op.MINIMUM,
    "maximum": Op.MAXIMUM,
}
_EXTREMES = {"minimum": Op.MINIMUM_BACKWARD, "maximum": Op.MAXIMUM_BACKWARD}
# Operations that are recomputed in the backward pass instead of kept for every time step, as they take only a
# few instructions per element. Mixtures take more, but a supernet has one on every edge.
CHEAP = frozenset(
    {
        "add",
        "subtract",
        "multiply",
        "minimum",
        "maximum",
        "mean",
        "blend",
        "relu",
        "mixture",
        "parameter_scale",
        COPY,
        MASK,
    }
)


def gradient_needs(value: Value, index: int) -> tuple[int, ...]:
    """The values that the gradient of input `index` reads: indices of inputs, or RESULT for the result."""
    if value.op in _UNARY:
        return (RESULT,)
    if value.op == "multiply":
        return (1 - index,)
    if value.op == "divide":
        return (1,) if index == 0 else (1, RESULT)
    if value.op in _EXTREMES:
        return (0, 1)
    if value.op == "blend":
        return (1, 2) if index == 0 else (0,)
    return (0,) if value.op in ("mixture", "parameter_scale") else ()


def compute(
    emitter: Emitter, value: Value, operands: Sequence[int], weight: int, target: int | None = None
) -> int:
    """Emit the instructions that compute a value.

    Args:
        emitter: Of the kernel.
        value: An elementwise value or a leaf.
        operands: Operands of its inputs.
        weight: Index of its weight, for `vector` and `scalar`.
        target: Operand that the result is written to; None for a new register.

    Returns:
        The operand of the result.
    """
    emit = emitter.emit
    if value.op in _UNARY:
        return emit(_UNARY[value.op][0], operands[0], target=target)
    if value.op in _BINARY:
        return emit(_BINARY[value.op], operands[0], operands[1], target=target)
    if value.op == "blend":
        return emit(Op.BLEND, *operands, target=target)
    if value.op in ("add", "mean"):
        total = operands[0]
        for position, operand in enumerate(operands[1:], start=2):
            is_last = position == len(operands) and value.op == "add"
            total = emit(Op.ADD, total, operand, target=target if is_last else None)
        if value.op == "mean":
            total = emit(Op.SCALE, total, immediate=emitter.constant(1 / len(operands)), target=target)
        return total
    if value.op == MASK:
        mask = emit(Op.MASK, immediate=value.immediate)
        return emit(Op.MULTIPLY, operands[0], mask, target=target)
    if value.op == COPY:
        return emit(Op.COPY, operands[0], target=target)
    if value.op in ("mixture", "parameter_scale"):
        op = Op.MIXTURE if value.op == "mixture" else Op.PARAMETER_SCALE
        return emit(op, operands[0], immediate=value.immediate, target=target)
    if value.op in ("zero", "one"):
        return emit(Op.FILL, immediate=emitter.constant(float(value.op == "one")), target=target)
    if value.op == "constant":
        return emit(Op.FILL, immediate=emitter.constant(value.number), target=target)
    return emit(Op.VECTOR if value.op == "vector" else Op.SCALAR, immediate=weight, target=target)


def differentiate(
    emitter: Emitter, value: Value, gradient: int, known: Callable[[int], int], wanted: Sequence[int]
) -> Iterator[tuple[int, int]]:
    """Emit the instructions that compute the gradients of a value's inputs.

    Args:
        emitter: Of the kernel.
        value: An elementwise value.
        gradient: Operand of the value's gradient.
        known: Gives the operand of an input by index, or of the result by RESULT; called only for the values in
            `gradient_needs`.
        wanted: Indices of the inputs whose gradients are wanted.

    Yields:
        The index of an input and the operand of its gradient, directly after the instructions that compute it.
    """
    emit = emitter.emit
    if value.op == "blend":
        yield from _differentiate_blend(emitter, gradient, known, wanted)
        return
    for index in wanted:
        if value.op in ("add", COPY) or (value.op == "subtract" and index == 0):
            yield index, gradient
        elif value.op == "subtract":
            yield index, emit(Op.NEGATE, gradient)
        elif value.op == "mean":
            yield index, emit(Op.SCALE, gradient, immediate=emitter.constant(1 / len(value.inputs)))
        elif value.op in _UNARY:
            yield index, emit(_UNARY[value.op][1], gradient, known(RESULT))
        elif value.op == "multiply":
            yield index, emit(Op.MULTIPLY, gradient, known(1 - index))
        elif value.op == "divide":
            share = emit(Op.DIVIDE, gradient, known(1))
            if index == 1:
                share = emit(Op.NEGATE, emit(Op.MULTIPLY, share, known(RESULT)))
            yield index, share
        elif value.op in _EXTREMES:
            yield index, emit(_EXTREMES[value.op], gradient, known(index), known(1 - index))
        elif value.op == MASK:
            yield index, emit(Op.MULTIPLY, gradient, emit(Op.MASK, immediate=value.immediate))
        elif value.op == "mixture":
            yield index, emit(Op.MIXTURE_BACKWARD, gradient, known(0), immediate=value.immediate)
        elif value.op == "parameter_scale":
            yield index, emit(Op.PARAMETER_SCALE_BACKWARD, gradient, known(0), immediate=value.immediate)
        else:
            raise AssertionError(f"no derivative of {value.op!r}")


def _differentiate_blend(
    emitter: Emitter, gradient: int, known: Callable[[int], int], wanted: Sequence[int]
) -> Iterator[tuple[int, int]]:
    """Gradients of z * a + (1 - z) * b: g (a - b) for z, g z for a, and g - g z for b."""
    if 0 in wanted:
        yield 0, emitter.emit(Op.BLEND_BACKWARD, gradient, known(1), known(2))
    if 2 not in wanted:
        if 1 in wanted:
            yield 1, emitter.emit(Op.MULTIPLY, gradient, known(0))
        return
    share = emitter.emit(Op.MULTIPLY, gradient, known(0))
    yield 2, emitter.emit(Op.SUBTRACT, gradient, share)
    if 1 in wanted:
        yield 1, share

"""The primitive operations of cells, in one table.

A primitive is elementwise, except `average`, which gives every unit the mean over all units of its input, and
three that have weights, which the runtime supplies:

    linear   sum_k W_k input_k + b, weights of shape (H, width of input k), at most one bias (H,);
             with E or a number of units in place of H if the node has that width. With n heads each matrix
             is block-diagonal, stored as its n blocks below each other: (H, width of input k / n)
    vector   a weight of shape (H,), the same for each row: peepholes, independent recurrences
    scalar   a weight of shape (1,), the same for each unit

The number of a `constant` is in its node; 0 and 1 are the separate primitives `zero` and `one`.

Forward functions use tensor methods only, so that this module does not import torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

LINEAR = "linear"
VECTOR = "vector"
SCALAR = "scalar"
RECAST = "recast"
CONSTANT = "constant"
AVERAGE = "average"

# The slope that torch and NAS-Bench-NLP's cells use.
LEAKY_RELU_SLOPE = 0.01


@dataclass(frozen=True)
class Primitive:
    """One operation.

    Attributes:
        name: Its name in a `Node`.
        arity: Number of inputs; None for one or more.
        commutative: Whether the order of the inputs does not matter.
        flops: Floating-point operations for each output element, as a function of the number of inputs.
            Every elementary function counts as one. Products of `linear` are counted by the cell.
        forward: Function of the inputs, all of the same shape (B, width); None for primitives with weights and
            for constants, which have no input that determines the shape.
        constant: Value of `zero` or `one`; that of `constant` is in the node.
    """

    name: str
    arity: int | None
    commutative: bool
    flops: Callable[[int], int]
    forward: Callable[..., Tensor] | None = None
    constant: float | None = None


def _leaky_relu(a: Tensor) -> Tensor:
    from torch.nn.functional import leaky_relu

    return leaky_relu(a, LEAKY_RELU_SLOPE)


def _selu(a: Tensor) -> Tensor:
    from torch import selu

    return selu(a)


def _softplus(a: Tensor) -> Tensor:
    from torch.nn.functional import logsigmoid

    # Accurate for every a; torch.nn.functional.softplus is the identity above 20.
    return -logsigmoid(-a)


def _hard_sigmoid(a: Tensor) -> Tensor:
    # The derivative of torch.nn.functional.hardsigmoid has only six digits, also in float64.
    return 1 - (1 - (a / 6 + 0.5).relu()).relu()


def _blend(z: Tensor, a: Tensor, b: Tensor) -> Tensor:
    if z.dtype == a.dtype == b.dtype:
        return b.lerp(a, z)
    # Under autocast, products have half precision but states do not, and lerp does not promote dtypes.
    return b + z * (a - b)


def _add(*inputs: Tensor) -> Tensor:
    total = inputs[0]
    for value in inputs[1:]:
        total = total + value
    return total


def _mean(*inputs: Tensor) -> Tensor:
    return _add(*inputs) / len(inputs)


_TABLE = (
    Primitive(LINEAR, None, True, lambda n: 0),
    Primitive(VECTOR, 0, True, lambda n: 0),
    Primitive(SCALAR, 0, True, lambda n: 0),
    Primitive("tanh", 1, True, lambda n: 1, lambda a: a.tanh()),
    Primitive("sigmoid", 1, True, lambda n: 1, lambda a: a.sigmoid()),
    Primitive("relu", 1, True, lambda n: 1, lambda a: a.relu()),
    Primitive("leaky_relu", 1, True, lambda n: 1, _leaky_relu),
    Primitive("selu", 1, True, lambda n: 1, _selu),
    Primitive("exp", 1, True, lambda n: 1, lambda a: a.exp()),
    # log(1 + exp(a)); the logarithm of sigmoid(a) is -softplus(-a).
    Primitive("softplus", 1, True, lambda n: 1, _softplus),
    Primitive("sqrt", 1, True, lambda n: 1, lambda a: a.sqrt()),
    # a / 6 + 1 / 2 between 0 and 1, as in torch.
    Primitive("hard_sigmoid", 1, True, lambda n: 3, _hard_sigmoid),
    Primitive("identity", 1, True, lambda n: 0, lambda a: a),
    # The same numbers as a value of the other width, input or hidden; requires E = H.
    Primitive(RECAST, 1, True, lambda n: 0, lambda a: a),
    Primitive("add", None, True, lambda n: n - 1, _add),
    Primitive("subtract", 2, False, lambda n: 1, lambda a, b: a - b),
    Primitive("multiply", 2, True, lambda n: 1, lambda a, b: a * b),
    Primitive("divide", 2, False, lambda n: 1, lambda a, b: a / b),
    Primitive("minimum", 2, True, lambda n: 1, lambda a, b: a.minimum(b)),
    Primitive("maximum", 2, True, lambda n: 1, lambda a, b: a.maximum(b)),
    Primitive(AVERAGE, 1, True, lambda n: 1, lambda a: a.mean(1, keepdim=True).expand_as(a)),
    # z * a + (1 - z) * b
    Primitive("blend", 3, False, lambda n: 3, _blend),
    Primitive("mean", None, True, lambda n: n, _mean),
    Primitive("zero", 0, True, lambda n: 0, constant=0.0),
    Primitive("one", 0, True, lambda n: 0, constant=1.0),
    Primitive(CONSTANT, 0, True, lambda n: 0),
)

PRIMITIVES: dict[str, Primitive] = {primitive.name: primitive for primitive in _TABLE}

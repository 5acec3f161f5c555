"""Operands of actions: symbolic places, which `walk.py` resolves to tensors at every step."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cellzoo.runtime.program import ViewKind


class External(Enum):
    """Rows of a tensor that belongs to the caller."""

    INPUT = "x"
    OUTPUT = "y"
    OUTPUT_GRADIENT = "gradient of y"
    INPUT_GRADIENT = "gradient of x"


@dataclass(frozen=True)
class Register:
    """A value within one kernel, written once (static single assignment)."""

    number: int


@dataclass(frozen=True)
class BufferColumns:
    """The current rows of a buffer, or of several adjacent ones."""

    buffers: tuple[int, ...]


@dataclass(frozen=True)
class StateRows:
    """A state, or the gradient of one, before or after the step; the buffer is a STATE or CARRY one."""

    kind: ViewKind
    buffer: int


@dataclass(frozen=True)
class Scratch:
    """`count` of `total` adjacent values in scratch memory, from `first` on."""

    width: str
    total: int
    first: int
    count: int
    name: str = "products"


@dataclass(frozen=True)
class MaskRows:
    """The mask of x (0) or of hidden values (1), for the current rows."""

    index: int


@dataclass(frozen=True)
class WeightRows:
    """A vector or scalar weight, the same for each row."""

    weight: int
    width: str


@dataclass(frozen=True)
class ConstantRows:
    """One of the plan's constants, for all rows and units."""

    constant: int
    width: str


@dataclass(frozen=True)
class Matrix:
    """A matrix concatenated from a grid of weights, each (out, in), optionally transposed."""

    grid: tuple[tuple[int, ...], ...]
    transposed: bool


@dataclass(frozen=True)
class Biases:
    """Concatenated vectors; None stands for zeros."""

    weights: tuple[int | None, ...]
    width: str


@dataclass(frozen=True)
class MixtureParameters:
    """`count` mixture parameters from `first` on, or their gradients."""

    first: int
    count: int
    gradient: bool = False


@dataclass(frozen=True)
class Lanes:
    """Adjacent values, (rows, lanes, units); a single lane is broadcast to all lanes of a step."""

    whole: Operand
    count: int


@dataclass(frozen=True)
class ParameterLanes:
    """`count` mixture parameters for each lane, (count, lanes, 1), or their gradients."""

    firsts: tuple[int, ...]
    count: int
    gradient: bool = False


@dataclass(frozen=True)
class Moments:
    """The list to which norms append their statistics, or None: the only operand that is not a tensor."""


@dataclass(frozen=True)
class Total:
    """The accumulated gradient of a vector or scalar weight, with one number per unit."""

    weight: int
    width: str


Operand = (
    External
    | Register
    | BufferColumns
    | StateRows
    | Scratch
    | MaskRows
    | WeightRows
    | ConstantRows
    | Matrix
    | Biases
    | MixtureParameters
    | Lanes
    | ParameterLanes
    | Moments
    | Total
)

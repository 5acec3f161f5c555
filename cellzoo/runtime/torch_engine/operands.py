"""What an action reads and writes: places whose tensor, at every step, a walk finds out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cellzoo.runtime.program import ViewKind


class External(Enum):
    """Rows of a tensor that the caller gives or gets."""

    INPUT = "x"
    OUTPUT = "y"
    OUTPUT_GRADIENT = "gradient of y"
    INPUT_GRADIENT = "gradient of x"


@dataclass(frozen=True)
class Register:
    """A value inside one kernel, written once."""

    number: int


@dataclass(frozen=True)
class BufferColumns:
    """The rows at hand of one buffer, or of several that lie side by side."""

    buffers: tuple[int, ...]


@dataclass(frozen=True)
class StateRows:
    """A state, or the gradient of one, before or after the step; the buffer is a STATE or CARRY one."""

    kind: ViewKind
    buffer: int


@dataclass(frozen=True)
class Scratch:
    """`count` of `total` values side by side in memory that every kernel overwrites."""

    width: str
    total: int
    first: int
    count: int
    name: str = "products"


@dataclass(frozen=True)
class MaskRows:
    """The mask of x (0) or of hidden values (1), at the sequences of the rows at hand."""

    index: int


@dataclass(frozen=True)
class WeightRows:
    """A vector or scalar weight, the same for each row."""

    weight: int
    width: str


@dataclass(frozen=True)
class ConstantRows:
    """One of the plan's constants, everywhere."""

    constant: int
    width: str


@dataclass(frozen=True)
class Matrix:
    """Weights joined to one matrix: a grid of them, each (out, in), row by row, or that matrix transposed."""

    grid: tuple[tuple[int, ...], ...]
    transposed: bool


@dataclass(frozen=True)
class Biases:
    """Vectors end to end; None stands for zeros."""

    weights: tuple[int | None, ...]
    width: str


@dataclass(frozen=True)
class MixtureParameters:
    """`count` of the mixture parameters from `first` on; `gradient` says theirs."""

    first: int
    count: int
    gradient: bool = False


@dataclass(frozen=True)
class Lanes:
    """Values side by side, (rows, lanes, units); one lane stands for all of a step."""

    whole: Operand
    count: int


@dataclass(frozen=True)
class ParameterLanes:
    """For each lane `count` of the mixture parameters, (count, lanes, 1); `gradient` says theirs."""

    firsts: tuple[int, ...]
    count: int
    gradient: bool = False


@dataclass(frozen=True)
class Moments:
    """The list that norms append what they find to, or None: the one operand that is not a tensor."""


@dataclass(frozen=True)
class Total:
    """The gradient of a vector or scalar weight, gathered step by step: one number a unit."""

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

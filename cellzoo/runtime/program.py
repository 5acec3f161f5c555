"""The plan, the instruction format of engines: buffers, kernels and weight gradients.

A plan has four phases. The input phases process all N packed rows of a batch at once, for values that depend on
x alone. The step phases process one time step after the other, in the backward pass in opposite order. A kernel
computes matrix products for a block of rows and units, and then runs a short elementwise program on the
results.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from cellzoo.system.lazy import lazy_property


class Op(IntEnum):
    """Elementwise instructions with operands `a`, `b`, `c`; in backward ones `a` is g, a result's gradient."""

    COPY = 0
    FILL = 1  # constants[immediate]
    VECTOR = 2  # weight `immediate` of shape (width,), the same for each row
    SCALAR = 3  # weight `immediate` of shape (1,)
    MASK = 4  # the mask of x (immediate 0) or of hidden values (1), by sequence
    LOAD_ROWS = 5  # gradient of the outputs
    STORE_ROWS = 6  # outputs (immediate 0) or gradient of the inputs (1)
    SIGMOID = 10
    TANH = 11
    RELU = 12
    LEAKY_RELU = 13
    SELU = 14
    EXP = 15
    SOFTPLUS = 16  # log(1 + exp a)
    SQRT = 17
    HARD_SIGMOID = 18  # a / 6 + 1 / 2 between 0 and 1
    ADD = 20
    SUBTRACT = 21
    MULTIPLY = 22
    DIVIDE = 23
    MINIMUM = 24
    BLEND = 25  # c + a * (b - c) where |a| < 1/2, b + (a - 1) * (b - c) elsewhere
    SCALE = 26  # a * constants[immediate]
    MULTIPLY_ADD = 27  # a * b + c
    NEGATE = 28
    MAXIMUM = 29
    SIGMOID_BACKWARD = 40  # from g and the result
    TANH_BACKWARD = 41
    RELU_BACKWARD = 42
    LEAKY_RELU_BACKWARD = 43
    SELU_BACKWARD = 44
    BLEND_BACKWARD = 45  # g * (b - c)
    MINIMUM_BACKWARD = 46  # gradient of the input b; c is the other input
    MAXIMUM_BACKWARD = 47  # gradient of the input b; c is the other input
    SOFTPLUS_BACKWARD = 48  # from g and the result
    HARD_SIGMOID_BACKWARD = 49
    SQRT_BACKWARD = 52
    REDUCE_ROWS = 50  # gradient of the vector or bias `immediate` += sum over rows
    REDUCE_ALL = 51  # gradient of the scalar `immediate` += sum over rows and units
    MIXTURE = 60  # p0 tanh a + p1 relu a + p2 sigmoid a + p3 a, p = parameters[immediate:]
    MIXTURE_BACKWARD = 61  # from g and the input b; also accumulates the gradients of the four parameters
    PARAMETER_SCALE = 62  # a * parameters[immediate]
    PARAMETER_SCALE_BACKWARD = 63  # from g and the input b; also accumulates the gradient of the parameter


class BufferKind(IntEnum):
    """The rows of a buffer."""

    ALL = 0  # N packed rows
    STEP = 1  # the B rows of a step, overwritten by the next
    STATE = 2  # a state before every step
    CARRY = 3  # gradient of a state, passed from step to step
    INPUT = 4  # x
    MASK = 5


class ViewKind(IntEnum):
    """Which rows of a buffer a view refers to."""

    ROWS = 0  # those that the kernel processes
    STATE_IN = 1  # the state before this step
    STATE_OUT = 2  # the state after this step
    CARRY_IN = 3  # gradient of the state after this step
    CARRY_OUT = 4  # gradient of the state before this step


class Init(IntEnum):
    """The initial value of a product's register."""

    ACCUMULATE = 0  # the result of an earlier product of the kernel
    ZERO = 1
    VIEW = 2
    VECTOR = 3


class NormKind(IntEnum):
    """Whether a kernel is a batch normalisation over the rows of its step."""

    NONE = 0
    FORWARD = 1
    BACKWARD = 2


@dataclass(frozen=True)
class Buffer:
    """Memory for one value; `index` is the state or mask it belongs to, `label` is for display."""

    kind: BufferKind
    width: str
    index: int = 0
    label: str = ""


@dataclass(frozen=True)
class View:
    """Rows of a buffer; `buffer` is an index into the plan's buffers."""

    kind: ViewKind
    buffer: int


@dataclass(frozen=True)
class Product:
    """A product of a dot: register (+)= source @ weight^T, or source @ weight if transposed.

    `weight` is an index into the plan's weights, each (out, in); `init_index` is the index of a view or vector.
    """

    register: int
    weight: int
    transposed: bool
    init: Init
    init_index: int = 0


@dataclass(frozen=True)
class Dot:
    """Products with a common source, a view."""

    source: int
    products: tuple[Product, ...]


# An operand is a register of the kernel (>= 0) or the view -1 - operand (< 0).
UNUSED = -(2**40)


@dataclass(frozen=True)
class Instruction:
    """An elementwise operation on a block of rows and units."""

    op: Op
    target: int = UNUSED
    a: int = UNUSED
    b: int = UNUSED
    c: int = UNUSED
    immediate: int = 0


@dataclass(frozen=True)
class Kernel:
    """Products, then a program, for every block of rows and units of one width.

    Attributes:
        width: `hidden`, `input`, or a number of units in digits.
        label: The values it computes, for display.
        barrier: Whether threads must synchronise before it, as a product reads units that another thread may
            have written since the last barrier.
        registers: Number of registers, each of the size of a block.
        dots: The products, in order; the first that writes a register initialises it.
        program: The elementwise instructions, in order.
        norm: Whether it is a batch normalisation over the rows of the step, without dots and program.
        norm_views: Forward: source, result, 1 / standard deviation. Backward: gradient of the result, result,
            1 / standard deviation, gradient of the source.
    """

    width: str
    label: str
    barrier: bool
    registers: int
    dots: tuple[Dot, ...]
    program: tuple[Instruction, ...]
    norm: NormKind = NormKind.NONE
    norm_views: tuple[int, ...] = ()


@dataclass(frozen=True)
class WeightGradient:
    """Gradient (out, in) of a weight += delta^T @ (source * mask), summed over all packed rows.

    `mask` is None, 0 for the mask of x, or 1 for that of hidden values.
    """

    weight: int
    delta: int
    source: int
    mask: int | None = None


@dataclass(frozen=True)
class Plan:
    """The compiled form of a model: how to run it over a packed batch, forward and backward.

    Attributes:
        states: Width of each state, in the cell's order.
        output_width: Width of the output.
        buffers: Index -> buffer.
        views: Index -> view.
        weights: Index -> name.
        weight_widths: Index -> widths (out, in) of a matrix, (width,) of a vector or bias, () of a scalar.
        num_parameters: Length of the vector of mixture parameters.
        constants: The constants of FILL and SCALE.
        forward_input: Kernels over all rows, before the steps.
        forward_step: Kernels of a time step.
        backward_step: Kernels of a time step of the backward pass.
        backward_input: Kernels over all rows, after the steps of the backward pass.
        weight_gradients: Products over all rows, at the end.
    """

    states: tuple[str, ...]
    output_width: str
    buffers: tuple[Buffer, ...]
    views: tuple[View, ...]
    weights: tuple[str, ...]
    weight_widths: tuple[tuple[str, ...], ...]
    num_parameters: int
    constants: tuple[float, ...]
    forward_input: tuple[Kernel, ...]
    forward_step: tuple[Kernel, ...]
    backward_step: tuple[Kernel, ...] = ()
    backward_input: tuple[Kernel, ...] = ()
    weight_gradients: tuple[WeightGradient, ...] = ()

    @property
    def widths(self) -> tuple[str, ...]:
        """Every width that occurs, that of the input first."""
        kernels = (*self.forward_input, *self.forward_step, *self.backward_step, *self.backward_input)
        named = [
            "input",
            self.output_width,
            *self.states,
            *(buffer.width for buffer in self.buffers),
            *(kernel.width for kernel in kernels),
            *(width for widths in self.weight_widths for width in widths),
        ]
        return tuple(dict.fromkeys(named))

    @lazy_property
    def norms(self) -> tuple[str, ...]:
        """Names of the normalised values of a step, in order of execution."""
        return tuple(kernel.label for kernel in self.forward_step if kernel.norm is not NormKind.NONE)

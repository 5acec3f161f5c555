"""The graph of a recurrent cell.

It maps the input `x` (width E, the input size) and the states (width H, the hidden size) of one time step to an
output and to the next value of each state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TypeAlias

from cellzoo.cells.ops import CONSTANT, LINEAR, PRIMITIVES, RECAST, SCALAR
from cellzoo.errors import CellError
from cellzoo.system.lazy import lazy_property

Init: TypeAlias = "tuple[tuple[str, float | str], ...]"
"""Selector of weights and rule, as in `cellzoo.cells.initial`."""
INPUT = "x"
HIDDEN_WIDTH, INPUT_WIDTH = "hidden", "input"
OTHER_WIDTH = {INPUT_WIDTH: HIDDEN_WIDTH, HIDDEN_WIDTH: INPUT_WIDTH}


@dataclass(frozen=True)
class Node:
    """One operation on named values.

    Attributes:
        name: Unique among nodes and states.
        op: A key of `cellzoo.cells.ops.PRIMITIVES`.
        inputs: `x`, names of states, or names of earlier nodes.
        weights: For `linear`, the weight name for each input; for `vector` and `scalar`, one name. Equal
            names share one weight.
        bias: For `linear`, the bias name, or None.
        width: The width of the result, for `linear`, weights and constants: `hidden` (H), `input` (E) for
            values combined with x itself, or a number of units such as `32` for a product of low rank. Other
            nodes have the width of their inputs (`recast` the other one), and `hidden` in this field.
        heads: For `linear`, the number of diagonal blocks of each matrix; 1 for a full matrix.
        value: The number of a `constant`.
    """

    name: str
    op: str
    inputs: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    bias: str | None = None
    width: str = HIDDEN_WIDTH
    heads: int = 1
    value: float | None = None

    @property
    def has_own_width(self) -> bool:
        """Whether `width` determines the width of the result, rather than the inputs."""
        return self.op == LINEAR or not self.inputs

    @property
    def literal(self) -> str:
        """The number of a constant, in the fewest digits that represent it exactly."""
        if self.value is None:
            return f"{PRIMITIVES[self.op].constant or 0.0:g}"
        return repr(self.value).removesuffix(".0")


def constant(name: str, value: float, width: str = HIDDEN_WIDTH) -> Node:
    """Build the node of a number; 0 and 1 are the separate operations `zero` and `one`."""
    if value in (0.0, 1.0):
        return Node(name, "one" if value else "zero", width=width)
    return Node(name, CONSTANT, width=width, value=float(value))


def linear(name: str, *inputs: str, bias: bool = True) -> Node:
    """Build a linear node whose weights are not shared."""
    return Node(
        name,
        LINEAR,
        inputs,
        weights=tuple(f"{name}_{source}" for source in inputs),
        bias=f"{name}_b" if bias else None,
    )


@dataclass(frozen=True)
class State:
    """A value carried from step to step, initially zero.

    Attributes:
        name: The name by which nodes read it.
        next: The name of its next value.
        width: `hidden` (H), or `input` (E) for a delayed input.
    """

    name: str
    next: str
    width: str = HIDDEN_WIDTH


@dataclass(frozen=True)
class CellGraph:
    """Nodes and states as immutable data, with counts of parameters and FLOPs; a `Cell` is a validated graph.

    Attributes:
        states: In the order in which an RNN module takes and returns them.
        nodes: In topological order.
        output: Name of the node that is the output.
        name: The display name; not part of equality or of the hash.
        init: The published initialisation, as in `cellzoo.cells.initial`; not part of equality or of the hash.
    """

    states: tuple[State, ...]
    nodes: tuple[Node, ...]
    output: str
    name: str = field(default="", compare=False)
    init: Init = field(default=(), compare=False)

    @lazy_property
    def live_nodes(self) -> tuple[Node, ...]:
        """The nodes that the output or a next state depends on; the others are dead."""
        wanted = {self.output, *(state.next for state in self.states)}
        for node in reversed(self.nodes):
            if node.name in wanted:
                wanted.update(node.inputs)
        return tuple(node for node in self.nodes if node.name in wanted)

    @lazy_property
    def widths(self) -> dict[str, str]:
        """Value name -> `input` (E), `hidden` (H), or a number of units in digits."""
        widths = {INPUT: INPUT_WIDTH, **{state.name: state.width for state in self.states}}
        for node in self.nodes:
            widths[node.name] = node.width
            if node.op == RECAST:
                widths[node.name] = OTHER_WIDTH.get(widths[node.inputs[0]], "")
            elif not node.has_own_width:
                widths[node.name] = widths[node.inputs[0]]
        return widths

    @lazy_property
    def heads(self) -> int:
        """The least common multiple of all heads, which must divide the layer's sizes; 1 without heads."""
        return math.lcm(*(node.heads for node in self.live_nodes))

    def sizes(self, *, input_size: int, hidden_size: int) -> dict[str, int]:
        """Number of units of every value, by name.

        Raises:
            CellError: The cell needs E = H and they differ, or its heads do not divide a size.
        """
        recast = next((node for node in self.live_nodes if node.op == RECAST), None)
        if recast is not None and input_size != hidden_size:
            label = f"cell {self.name!r}" if self.name else "cell"
            raise CellError(
                f"{label}: node {recast.name!r} reads {recast.inputs[0]!r} as a value of the other width, so "
                f"the input size must equal the hidden size; they are {input_size} and {hidden_size}"
            )
        known = {INPUT_WIDTH: input_size, HIDDEN_WIDTH: hidden_size}
        sizes = {name: known[width] if width in known else int(width) for name, width in self.widths.items()}
        for node in self.live_nodes:
            for value in (node.name, *node.inputs) if node.heads > 1 else ():
                if sizes[value] % node.heads:
                    label = f"cell {self.name!r}" if self.name else "cell"
                    raise CellError(
                        f"{label}: node {node.name!r} has {node.heads} heads, which do not divide the "
                        f"{sizes[value]} units of {value!r}; choose sizes that are multiples of {node.heads}"
                    )
        return sizes

    def parameter_shapes(
        self, *, input_size: int, hidden_size: int, bias: bool = True
    ) -> dict[str, tuple[int, ...]]:
        """Shapes of the weights and biases of one layer in one direction, in order of first use.

        Args:
            input_size: E.
            hidden_size: H.
            bias: Whether to include the biases that the cell defines.

        Returns:
            Name -> (H, E) or (H, H) for a matrix, (H,) for a bias or vector, (1,) for a scalar. The first
            dimension is E, or a number of units, if the node has that width; with n heads the second is
            divided by n. Weights of dead nodes are not included.

        Raises:
            CellError: As in `sizes`.
        """
        sizes = self.sizes(input_size=input_size, hidden_size=hidden_size)
        shapes: dict[str, tuple[int, ...]] = {}
        for node in self.live_nodes:
            rows = sizes[node.name]
            if node.op == LINEAR:
                for weight, source in zip(node.weights, node.inputs, strict=True):
                    shapes[weight] = (rows, sizes[source] // node.heads)
            else:
                shapes |= dict.fromkeys(node.weights, (1,) if node.op == SCALAR else (rows,))
            if bias and node.bias is not None:
                shapes[node.bias] = (rows,)
        return shapes

    def num_parameters(self, *, input_size: int, hidden_size: int, bias: bool = True) -> int:
        """Count the weights of one layer in one direction; arguments as in `parameter_shapes`."""
        shapes = self.parameter_shapes(input_size=input_size, hidden_size=hidden_size, bias=bias)
        return sum(math.prod(shape) for shape in shapes.values())

    def flops(self, *, input_size: int, hidden_size: int, bias: bool = True) -> int:
        """Count the floating-point operations of one forward step for one token.

        A product with an (m, n) matrix counts 2 m n, divided by its heads, a bias its size, and each other
        primitive what `cellzoo.cells.ops` says for an element.
        """
        sizes = self.sizes(input_size=input_size, hidden_size=hidden_size)
        total = 0
        for node in self.live_nodes:
            size = sizes[node.name]
            total += PRIMITIVES[node.op].flops(len(node.inputs)) * size
            if node.op == LINEAR:
                total += sum(2 * size * (sizes[source] // node.heads) for source in node.inputs)
                total += size if bias and node.bias is not None else 0
        return total

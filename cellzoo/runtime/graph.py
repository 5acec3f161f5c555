"""The intermediate graph between a cell and its plan.

It has only live values, and masks are values. Values that depend on x alone can be computed for all steps at
once, before the first step (the input phase). Linear nodes that read both x and states are therefore split: the
part that reads x, including the bias, is a value of its own, and the part that reads states adds to it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cellzoo.cells.graph import HIDDEN_WIDTH, INPUT, INPUT_WIDTH
from cellzoo.cells.ops import AVERAGE, LINEAR, RECAST
from cellzoo.runtime.lowering import share_name, spread_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellzoo.cells.cell import Cell
    from cellzoo.cells.graph import Node

MASK, COPY, NORM = "mask", "copy", "norm"
LEAVES = frozenset({"zero", "one", "constant", "vector", "scalar"})
MASK_OF_X, MASK_OF_HIDDEN = 0, 1
_TRANSPARENT = frozenset({"identity", RECAST})
_TRANSPARENT_ALONE = frozenset({"add", "mean"})


@dataclass(frozen=True)
class Value:
    """One value of the graph.

    Attributes:
        name: Unique.
        op: The name of a primitive, or `mask`, `copy`, `norm`, `mixture`, `parameter_scale`.
        width: `hidden`, `input`, or a number of units in digits.
        inputs: Names of values, of states, or `x`.
        weights: For `linear`, one for each input; for `vector` and `scalar`, one.
        bias: For `linear`, its name, or None.
        start: For `linear`, the value that the products are added to (the part that reads x), or None.
        immediate: Index of the mask, or of the first mixture parameter.
        number: The value of a `constant`.
    """

    name: str
    op: str
    width: str
    inputs: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    bias: str | None = None
    start: str | None = None
    immediate: int = 0
    number: float = 0.0

    @property
    def is_leaf(self) -> bool:
        """Whether it has no inputs; each kernel that reads it computes it again."""
        return self.op in LEAVES

    @property
    def sources(self) -> tuple[str, ...]:
        """All values that it is computed from."""
        return self.inputs if self.start is None else (*self.inputs, self.start)


@dataclass(frozen=True)
class Graph:
    """Values in topological order.

    Attributes:
        input_width: Width of x.
        states: Name -> width, in the cell's order.
        values: In topological order, all of them live.
        output: Name of the value that is the output.
        nexts: For each state, its next value; always a value of the steps, never x, a state or an input phase
            value.
        weights: Name -> widths (out, in) of a matrix, (width,) of a vector or bias, () of a scalar.
        input_phase: Names of the values, x included, that depend on x alone.
        num_parameters: Length of the vector of mixture parameters.
    """

    input_width: str
    states: dict[str, str]
    values: tuple[Value, ...]
    output: str
    nexts: tuple[str, ...]
    weights: dict[str, tuple[str, ...]]
    input_phase: frozenset[str]
    num_parameters: int = 0


@dataclass
class GraphBuilder:
    """Builds a graph in topological order.

    The names of values that it adds itself contain a dot, which names of nodes do not.

    Attributes:
        input_width: Width of x.
        states: Name -> width.
    """

    input_width: str
    states: dict[str, str]

    def __post_init__(self) -> None:
        self._values: dict[str, Value] = {}
        self._weights: dict[str, tuple[str, ...]] = {}
        self._input_phase = {INPUT}

    def width(self, name: str) -> str:
        """Width of a value, a state, or x."""
        if name == INPUT:
            return self.input_width
        return self.states[name] if name in self.states else self._values[name].width

    def add(self, value: Value) -> str:
        """Add an elementwise value or a leaf; returns its name."""
        self._values[value.name] = value
        if value.weights and value.op != LINEAR:
            self._weights[value.weights[0]] = () if value.op == "scalar" else (value.width,)
        if not value.is_leaf and all(self._is_early(source) for source in value.inputs):
            self._input_phase.add(value.name)
        return value.name

    def linear(
        self,
        name: str,
        width: str,
        sources: Sequence[tuple[str, str, int | None]],
        bias: str | None,
    ) -> str:
        """Add a linear value; `sources` are (value, weight, number of its mask or None)."""
        early: list[tuple[str, str]] = []
        late: list[tuple[str, str]] = []
        for source, weight, mask in sources:
            factor = self._factor(source, mask)
            self._weights.setdefault(weight, (width, self.width(factor)))
            (early if self._is_early(factor) else late).append((factor, weight))
        if bias is not None:
            self._weights[bias] = (width,)
        if not late:
            return self._product(name, width, early, bias)
        start = self._product(f"{name}.x", width, early, bias) if early else None
        return self._product(name, width, late, None if early else bias, start)

    def average(self, name: str, source: str) -> str:
        """Add the mean over the units of a value, in each of its units."""
        width = self.width(source)
        mean = self.linear(f"{name}.mean", "1", [(source, share_name(width), None)], None)
        return self.linear(name, width, [(mean, spread_name(width), None)], None)

    def finish(self, output: str, nexts: Sequence[str], num_parameters: int = 0) -> Graph:
        """Build the graph; first copy outputs and next values that no kernel of the right phase computes."""
        nexts = [
            self._copy(f"{state}.next", source, early=False)
            if self._is_not_computed(source) or self._is_early(source)
            else source
            for state, source in zip(self.states, nexts, strict=True)
        ]
        if self._is_not_computed(output):
            output = self._copy(f"{output}.output", output, early=output == INPUT)
        live = self._live({output, *nexts})
        used = {weight for value in live for weight in (*value.weights, *([value.bias] if value.bias else []))}
        return Graph(
            self.input_width,
            dict(self.states),
            live,
            output,
            tuple(nexts),
            {name: widths for name, widths in self._weights.items() if name in used},
            frozenset(self._input_phase & {INPUT, *(value.name for value in live)}),
            num_parameters,
        )

    def _live(self, wanted: set[str]) -> tuple[Value, ...]:
        """The wanted values and all values that they depend on."""
        for value in reversed(self._values.values()):
            if value.name in wanted:
                wanted.update(value.sources)
        return tuple(value for value in self._values.values() if value.name in wanted)

    def _is_not_computed(self, name: str) -> bool:
        """Whether the value is not the result of a product or an elementwise instruction."""
        return name not in self._values or self._values[name].is_leaf or self._values[name].op == NORM

    def _is_early(self, name: str) -> bool:
        return name in self._input_phase or (name in self._values and self._values[name].is_leaf)

    def _factor(self, source: str, mask: int | None) -> str:
        """The factor of a matrix product: a value in memory, masked if asked for."""
        if source in self._values and self._values[source].is_leaf:
            source = self._copy(f"{source}.rows", source, early=True)
        if mask is None:
            return source
        name = f"{source}.masked{mask}"
        if name not in self._values:
            self.add(Value(name, MASK, self.width(source), (source,), immediate=mask))
        return name

    def _copy(self, name: str, source: str, *, early: bool) -> str:
        if name not in self._values:
            self._values[name] = Value(name, COPY, self.width(source), (source,))
            if early:
                self._input_phase.add(name)
        return name

    def _product(
        self,
        name: str,
        width: str,
        sources: Sequence[tuple[str, str]],
        bias: str | None,
        start: str | None = None,
    ) -> str:
        inputs, weights = zip(*sources, strict=True)
        self._values[name] = Value(name, LINEAR, width, inputs, weights, bias, start)
        if all(self._is_early(source) for source in inputs):
            self._input_phase.add(name)
        return name


def cell_graph(cell: Cell, *, masked_x: bool = False, masked_h: bool = False) -> Graph:
    """Build the graph of a cell's live nodes.

    Args:
        cell: The cell.
        masked_x: Whether values of x's width are masked where a matrix multiplies them.
        masked_h: The same for values of the hidden width.
    """
    # A recast requires E = H, so both widths are treated as one, and elementwise code may mix them.
    same = {INPUT_WIDTH: HIDDEN_WIDTH} if any(node.op == RECAST for node in cell.live_nodes) else {}
    mask_of = {INPUT_WIDTH: MASK_OF_X if masked_x else None, HIDDEN_WIDTH: MASK_OF_HIDDEN if masked_h else None}

    def width_of(name: str) -> str:
        return same.get(cell.widths[name], cell.widths[name])

    builder = GraphBuilder(
        same.get(INPUT_WIDTH, INPUT_WIDTH), {state.name: width_of(state.name) for state in cell.states}
    )
    known = {name: name for name in (INPUT, *(state.name for state in cell.states))}
    for node in cell.live_nodes:
        inputs = tuple(known[source] for source in node.inputs)
        if node.op in _TRANSPARENT or (node.op in _TRANSPARENT_ALONE and len(inputs) == 1):
            known[node.name] = inputs[0]
        elif node.op == LINEAR:
            sources = [
                (value, weight, mask_of.get(cell.widths[source]))
                for value, weight, source in zip(inputs, node.weights, node.inputs, strict=True)
            ]
            known[node.name] = builder.linear(node.name, width_of(node.name), sources, node.bias)
        elif node.op == AVERAGE:
            known[node.name] = builder.average(node.name, inputs[0])
        else:
            known[node.name] = builder.add(_value(node, width_of(node.name), inputs))
    return builder.finish(known[cell.output], [known[state.next] for state in cell.states])


def _value(node: Node, width: str, inputs: tuple[str, ...]) -> Value:
    number = 0.0 if node.value is None else node.value
    return replace(Value(node.name, node.op, width, number=number), inputs=inputs, weights=node.weights)

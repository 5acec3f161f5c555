"""One step of a Cell as ONNX nodes: each primitive is one or a few operators."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellzoo.cells.graph import INPUT
from cellzoo.cells.ops import (
    AVERAGE,
    CONSTANT,
    LEAKY_RELU_SLOPE,
    LINEAR,
    PRIMITIVES,
    RECAST,
    SCALAR,
    VECTOR,
)
from cellzoo.errors import CellError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cellzoo.cells.cell import Cell
    from cellzoo.cells.graph import Node
    from cellzoo.export.onnx_graph import OnnxGraph

# Operators that are equivalent to a primitive.
_SAME = {
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "relu": "Relu",
    "selu": "Selu",
    "exp": "Exp",
    "softplus": "Softplus",
    "sqrt": "Sqrt",
    "add": "Sum",
    "subtract": "Sub",
    "multiply": "Mul",
    "divide": "Div",
    "minimum": "Min",
    "maximum": "Max",
    "mean": "Mean",
}
_RENAMING = ("identity", RECAST)


class OnnxCell:
    """The weights of one layer in one direction, and the nodes of a step.

    Values that depend on the weights alone are computed once, outside of the step. They have one row, which the
    operators broadcast over the batch.

    Args:
        cell: The cell.
        sizes: Value -> number of units.
        weights: Name in the cell -> tensor; biases may be missing.
        graph: The outermost graph, which gets the weights.
        prefix: Prefix of all names.
        used: A further prefix for names other than those of weights, for a layer that is used more than once.
    """

    def __init__(
        self,
        cell: Cell,
        sizes: Mapping[str, int],
        weights: Mapping[str, np.ndarray],
        graph: OnnxGraph,
        prefix: str,
        used: str = "",
    ) -> None:
        self.cell = cell
        self.sizes = sizes
        heads = {weight: node.heads for node in cell.live_nodes for weight in node.weights}
        self.weights = {
            name: graph.constant(f"{prefix}weights.{name}", _full(value, heads.get(name, 1)))
            for name, value in weights.items()
        }
        self.fixed: dict[str, str] = {}
        for node in cell.live_nodes:
            if all(source in self.fixed for source in node.inputs):
                self.fixed[node.name] = self._emit(graph, node, self.fixed, f"{used}{prefix}{node.name}")

    def step(self, graph: OnnxGraph, x: str, states: Sequence[str], prefix: str) -> tuple[str, list[str]]:
        """Add the nodes of one step.

        Args:
            graph: The graph to add them to.
            x: Name of the input, (B, E).
            states: Names of the states, (B, H) or (B, E).
            prefix: Prefix of all new names.

        Returns:
            Names of the output (B, H) and of the next states.
        """
        values = {INPUT: x, **self.fixed}
        values.update(zip((state.name for state in self.cell.states), states, strict=True))
        for node in self.cell.live_nodes:
            if node.name not in self.fixed:
                values[node.name] = self._emit(graph, node, values, f"{prefix}{node.name}")

        results = [self.cell.output, *(state.next for state in self.cell.states)]
        for name in self.fixed.keys() & set(results):
            values[name] = self._stretched(graph, name, x, prefix)
        output, *after = (values[name] for name in results)
        return output, after

    def _emit(self, graph: OnnxGraph, node: Node, values: Mapping[str, str], output: str) -> str:
        if node.op == LINEAR:
            return self._products(graph, node, values, output)
        sources = [values[source] for source in node.inputs]
        if node.op in _RENAMING:
            return sources[0]
        if node.op in _SAME:
            return graph.add(_SAME[node.op], sources, output)
        if node.op == "leaky_relu":
            return graph.add("LeakyRelu", sources, output, alpha=LEAKY_RELU_SLOPE)
        if node.op == "hard_sigmoid":
            return graph.add("HardSigmoid", sources, output, alpha=1 / 6, beta=0.5)
        if node.op == AVERAGE:
            mean = graph.add("ReduceMean", sources, f"{output}.mean", axes=[1], keepdims=1)
            shape = graph.add("Shape", sources, f"{output}.shape")
            return graph.add("Expand", [mean, shape], output)
        if node.op == "blend":
            z, a, b = sources
            distance = graph.add("Sub", [a, b], f"{output}.distance")
            return graph.add("Add", [b, graph.add("Mul", [z, distance], f"{output}.part")], output)
        return self._row(graph, node, output)

    def _products(self, graph: OnnxGraph, node: Node, values: Mapping[str, str], output: str) -> str:
        """W_1 v_1 + b, then W_2 v_2 added to it, and so on: one Gemm for each product."""
        bias = self.weights.get(node.bias or "", "")
        # A Gemm broadcasts the term that it adds, not its product, so products of one row come first.
        terms = sorted(zip(node.inputs, node.weights, strict=True), key=lambda term: term[0] not in self.fixed)
        named = [(values[source], self.weights[weight]) for source, weight in terms]
        return self._sum(graph, named, bias, output)

    @staticmethod
    def _sum(graph: OnnxGraph, terms: Sequence[tuple[str, str]], total: str, output: str) -> str:
        """Add products of values and weights to a total, empty for none; without products it is the total."""
        last = len(terms) - 1
        for index, term in enumerate(terms):
            inputs = [*term, *([total] if total else [])]
            total = graph.add("Gemm", inputs, output if index == last else f"{output}.{index}", transB=1)
        return total

    def _row(self, graph: OnnxGraph, node: Node, output: str) -> str:
        """A value without inputs, (1, width)."""
        units = self.sizes[node.name]
        constant = node.value if node.op == CONSTANT else PRIMITIVES[node.op].constant
        if constant is not None:
            return graph.constant(output, np.full((1, units), constant, dtype=np.float32))
        if node.op == VECTOR:
            return graph.add("Unsqueeze", [self.weights[node.weights[0]], graph.integers(0)], output)
        if node.op == SCALAR:
            return graph.add("Expand", [self.weights[node.weights[0]], graph.integers(1, units)], output)
        raise CellError(f"node {node.name!r}: the operation {node.op!r} has no form in ONNX")

    def _stretched(self, graph: OnnxGraph, name: str, x: str, prefix: str) -> str:
        """A value of one row, repeated for each row of x."""
        label = f"{prefix}{name}.rows"
        rows = graph.add("Shape", [x], f"{label}.count", start=0, end=1)
        shape = graph.add("Concat", [rows, graph.integers(self.sizes[name])], f"{label}.shape", axis=0)
        return graph.add("Expand", [self.fixed[name], shape], label)


def _full(weight: np.ndarray, heads: int) -> np.ndarray:
    """The full matrix of a block-diagonal weight, which is stored as its blocks below each other."""
    if heads == 1:
        return weight
    rows, columns = weight.shape[0] // heads, weight.shape[1]
    full = np.zeros((weight.shape[0], heads * columns), dtype=weight.dtype)
    for head in range(heads):
        place = slice(head * rows, (head + 1) * rows)
        full[place, head * columns : (head + 1) * columns] = weight[place]
    return full

"""The step of a Cell as the body of a Scan, without the work that does not depend on the states.

Products with the layer's input are computed for all steps at once, before the Scan, because onnxruntime
multiplies a matrix with many rows in little more time than with one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellzoo.cells.graph import INPUT
from cellzoo.cells.ops import LINEAR
from cellzoo.export.onnx_cell import OnnxCell

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cellzoo.cells.graph import Node
    from cellzoo.export.onnx_graph import OnnxGraph


class ScannedCell(OnnxCell):
    """An `OnnxCell`, with its arguments, for the body of a Scan."""

    @property
    def reads_input(self) -> bool:
        """Whether a step needs the input itself, besides the products that are computed ahead."""
        results = [self.cell.output, *(state.next for state in self.cell.states)]
        rest = [node for node in self.cell.live_nodes if not self._is_ahead(node)]
        return (
            bool({INPUT, *self.fixed} & set(results))
            or any(INPUT in node.inputs for node in rest)
            or len(rest) == len(self.cell.live_nodes)
        )

    def ahead(self, graph: OnnxGraph, value: str, prefix: str) -> dict[str, tuple[str, int]]:
        """Add the products with the input for all steps.

        Args:
            graph: The graph to add them to.
            value: Name of the input, (T, B, E) or (B, T, E).
            prefix: As in `step`.

        Returns:
            Name in a step -> name of the values of all steps, (T, B, width) or (B, T, width), and the width.
        """
        made = {}
        for node in filter(self._is_ahead, self.cell.live_nodes):
            label = _label(f"{prefix}{node.name}")
            weight = self.weights[node.weights[node.inputs.index(INPUT)]]
            turned = graph.add("Transpose", [weight], f"{label}.weight", perm=[1, 0])
            whole = graph.add("MatMul", [value, turned], f"{label}.products")
            if node.bias in self.weights:
                whole = graph.add("Add", [whole, self.weights[node.bias]], f"{label}.sums")
            made[label] = (whole, self.sizes[node.name])
        return made

    def _is_ahead(self, node: Node) -> bool:
        is_linear = node.op == LINEAR and node.inputs.count(INPUT) == 1
        return is_linear and not self.fixed.keys() & set(node.inputs)

    def _products(self, graph: OnnxGraph, node: Node, values: Mapping[str, str], output: str) -> str:
        if not self._is_ahead(node):
            return super()._products(graph, node, values, output)
        terms = [
            (values[source], self.weights[weight])
            for source, weight in zip(node.inputs, node.weights, strict=True)
            if source != INPUT
        ]
        return self._sum(graph, terms, _label(output), output)


def _label(name: str) -> str:
    return f"{name}.of_input"

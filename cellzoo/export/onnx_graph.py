"""Builder of an ONNX graph: nodes, weights and unique names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto

BATCH, TIME = "batch", "time"


class OnnxGraph:
    """Collects the nodes and weights of an ONNX graph.

    Args:
        outer: For the body of a Scan, the graph that contains it, which stores the weights of both.
    """

    def __init__(self, outer: OnnxGraph | None = None) -> None:
        self.nodes: list[NodeProto] = []
        self.initializers: dict[str, TensorProto] = outer.initializers if outer else {}
        self._outer = outer

    def add(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node with one output; returns the output's name."""
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=output, **attributes))
        return output

    def constant(self, name: str, value: np.ndarray) -> str:
        """Add a tensor unless its name is there already; returns the name."""
        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(np.asarray(value, order="C"), name)
        return name

    def integers(self, *values: int) -> str:
        """A one-dimensional tensor of integers."""
        name = "integers." + ".".join(map(str, values))
        return self.constant(name, np.array(values, dtype=np.int64))

    def pick(self, tensor: str, index: int, output: str, axis: int = 0) -> str:
        """One slice of a tensor along an axis, which is removed."""
        position = self.constant(f"integer.{index}", np.array(index, dtype=np.int64))
        return self.add("Gather", [tensor, position], output, axis=axis)

    def stack(self, tensors: Sequence[str], output: str, axis: int = 0) -> str:
        """Join tensors along a new axis."""
        axes = self.integers(axis)
        if len(tensors) == 1:
            return self.add("Unsqueeze", [tensors[0], axes], output)
        parts = [
            self.add("Unsqueeze", [tensor, axes], f"{output}.{index}") for index, tensor in enumerate(tensors)
        ]
        return self.add("Concat", parts, output, axis=axis)

    def join(self, tensors: Sequence[str], output: str, axis: int) -> str:
        """Concatenate tensors along an existing axis; a single tensor is returned unchanged."""
        return self.add("Concat", tensors, output, axis=axis) if len(tensors) > 1 else tensors[0]

    def finish(
        self, name: str, inputs: Sequence[ValueInfoProto], outputs: Sequence[ValueInfoProto]
    ) -> GraphProto:
        """Build the graph; the weights are stored in the outermost one."""
        initializers = [] if self._outer else list(self.initializers.values())
        return helper.make_graph(self.nodes, name, list(inputs), list(outputs), initializers)

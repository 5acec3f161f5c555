"""The layers and directions of a CellRNN around the step of its cell, as an ONNX graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeVar

from onnx import TensorProto, helper

from cellzoo.cells.graph import HIDDEN_WIDTH
from cellzoo.export.onnx_cell import OnnxCell
from cellzoo.export.onnx_graph import BATCH, TIME, OnnxGraph
from cellzoo.export.onnx_scanned import ScannedCell
from cellzoo.export.weights import weights_in_use
from cellzoo.system.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onnx import GraphProto, ValueInfoProto

    from cellzoo.layer import CellRNN

_INPUT, _OUTPUT = "input", "output"
_Kind = TypeVar("_Kind", bound=OnnxCell)


def build_graph(rnn: CellRNN, steps: int | Literal["any"] | None) -> GraphProto:
    """Build the graph that `cellzoo.export.to_onnx` describes."""
    graph = OnnxGraph()
    first = {
        state.name: [
            graph.pick(f"{state.name}_0", index, f"states.{index}.{state.name}")
            for index in range(len(rnn.directions))
        ]
        for state in rnn.inference_cell.states
    }
    states = [list(values) for values in zip(*first.values(), strict=True)]
    if steps is None:
        finals = _one_step(graph, rnn, states)
    elif isinstance(steps, int):
        finals = _unrolled(graph, rnn, states, steps)
    else:
        value, finals = scan_layers(graph, rnn, _INPUT, states, _time_axis(rnn))
        graph.add("Identity", [value], _OUTPUT)
    for state, values in zip(rnn.inference_cell.states, zip(*finals, strict=True), strict=True):
        graph.stack(values, f"{state.name}_n")
    inputs, outputs = _interface(rnn, steps)
    return graph.finish(printable(rnn.inference_cell.name) or "cell", inputs, outputs)


def _one_step(graph: OnnxGraph, rnn: CellRNN, states: Sequence[Sequence[str]]) -> list[list[str]]:
    value, finals = _INPUT, []
    for index in range(rnn.num_layers):
        prefix = _label(index)
        value, final = _cell(OnnxCell, graph, rnn, index).step(graph, value, states[index], prefix)
        finals.append(final)
    graph.add("Identity", [value], _OUTPUT)
    return finals


def _unrolled(graph: OnnxGraph, rnn: CellRNN, states: Sequence[Sequence[str]], steps: int) -> list[list[str]]:
    axis = _time_axis(rnn)
    values = [graph.pick(_INPUT, t, f"{_INPUT}.{t}", axis) for t in range(steps)]
    finals: list[list[str]] = []

    def run(index: int, *, reverse: bool) -> list[str]:
        cell = _cell(OnnxCell, graph, rnn, index)
        outputs, current = [""] * steps, list(states[index])
        for t in range(steps - 1, -1, -1) if reverse else range(steps):
            outputs[t], current = cell.step(graph, values[t], current, _label(index, f"{t}."))
        finals.append(current)
        return outputs

    for layer in range(rnn.num_layers):
        ways = [run(index, reverse=reverse) for index, reverse in _ways(rnn, layer)]
        values = [
            graph.join(parts, f"layer.{layer}.{t}", axis=1) for t, parts in enumerate(zip(*ways, strict=True))
        ]
    graph.stack(values, _OUTPUT, axis)
    return finals


def scan_layers(
    graph: OnnxGraph,
    rnn: CellRNN,
    value: str,
    states: Sequence[Sequence[str]],
    axis: int,
    prefix: str = "",
) -> tuple[str, list[list[str]]]:
    """Add all layers of a recurrent layer, over sequences of any length.

    Args:
        graph: The graph to add them to.
        rnn: The layer.
        value: Name of the input, (T, B, E) or (B, T, E).
        states: Names of the initial states of each layer and direction, (B, H) or (B, E).
        axis: The time axis of the input, 0 or 1.
        prefix: Prefix of computed values, for a layer that is used more than once; its weights are shared.

    Returns:
        Name of the output, and of the last states of each layer and direction.
    """
    finals: list[list[str]] = []
    used = prefix

    def run(index: int, *, reverse: bool) -> str:
        prefix = used + _label(index)
        final = [f"{prefix}scan.states.{state.name}" for state in rnn.inference_cell.states]
        output = f"{prefix}scan.output"
        cell = _cell(ScannedCell, graph, rnn, index, used)
        read = cell.ahead(graph, value, f"{prefix}step.")
        if cell.reads_input:
            read = {f"{prefix}step.x": (value, _layer_input(rnn, index)), **read}
        graph.nodes.append(
            helper.make_node(
                "Scan",
                [*states[index], *(name for name, _ in read.values())],
                [*final, output],
                name=f"{prefix}scan",
                body=_body(graph, rnn, cell, {name: width for name, (_, width) in read.items()}, prefix),
                num_scan_inputs=len(read),
                scan_input_axes=[axis] * len(read),
                scan_output_axes=[axis],
                scan_input_directions=[int(reverse)] * len(read),
                scan_output_directions=[int(reverse)],
            )
        )
        finals.append(final)
        return output

    for layer in range(rnn.num_layers):
        ways = [run(index, reverse=reverse) for index, reverse in _ways(rnn, layer)]
        value = graph.join(ways, f"{prefix}layer.{layer}", axis=2)
    return value, finals


def _body(
    graph: OnnxGraph, rnn: CellRNN, cell: ScannedCell, read: Mapping[str, int], prefix: str
) -> GraphProto:
    """The body of a Scan: from the states and the parts of the input to the next states and the output."""
    prefix = f"{prefix}step."
    body = OnnxGraph(graph)
    names = [f"{prefix}{state.name}" for state in rnn.inference_cell.states]
    output, after = cell.step(body, f"{prefix}x", names, prefix)
    # Each output needs a name of its own, but one value may be two outputs, or also an input.
    following = [
        body.add("Identity", [value], f"{name}.next") for name, value in zip(names, after, strict=True)
    ]
    result = body.add("Identity", [output], f"{prefix}output.result")
    widths = [_state_width(rnn, state.width) for state in rnn.inference_cell.states]
    inputs = [_info(name, BATCH, width) for name, width in zip(names, widths, strict=True)]
    outputs = [_info(name, BATCH, width) for name, width in zip(following, widths, strict=True)]
    return body.finish(
        f"{prefix}body",
        [*inputs, *(_info(name, BATCH, width) for name, width in read.items())],
        [*outputs, _info(result, BATCH, rnn.hidden_size)],
    )


def _ways(rnn: CellRNN, layer: int) -> list[tuple[int, bool]]:
    """Index of each direction of a layer, and whether it reads backwards."""
    return [(layer * rnn.num_directions + way, way == 1) for way in range(rnn.num_directions)]


def _interface(
    rnn: CellRNN, steps: int | Literal["any"] | None
) -> tuple[list[ValueInfoProto], list[ValueInfoProto]]:
    leading: list[str | int] = [BATCH]
    if steps is not None:
        leading.insert(_time_axis(rnn), steps if isinstance(steps, int) else TIME)
    inputs = [_info(_INPUT, *leading, rnn.input_size)]
    outputs = [_info(_OUTPUT, *leading, rnn.hidden_size * rnn.num_directions)]
    for state in rnn.inference_cell.states:
        shape = (len(rnn.directions), BATCH, _state_width(rnn, state.width))
        inputs.append(_info(f"{state.name}_0", *shape))
        outputs.append(_info(f"{state.name}_n", *shape))
    return inputs, outputs


def _info(name: str, *shape: str | int) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _cell(kind: type[_Kind], graph: OnnxGraph, rnn: CellRNN, index: int, used: str = "") -> _Kind:
    weights = {name: value.cpu().numpy() for name, value in weights_in_use(rnn.direction(index)).items()}
    sizes = rnn.inference_cell.sizes(input_size=_layer_input(rnn, index), hidden_size=rnn.hidden_size)
    return kind(rnn.inference_cell, sizes, weights, graph, _label(index), used)


def _state_width(rnn: CellRNN, width: str) -> int:
    return rnn.hidden_size if width == HIDDEN_WIDTH else rnn.input_size


def _layer_input(rnn: CellRNN, index: int) -> int:
    return rnn.input_size if index < rnn.num_directions else rnn.hidden_size * rnn.num_directions


def _time_axis(rnn: CellRNN) -> int:
    return 1 if rnn.batch_first else 0


def _label(index: int, name: str = "") -> str:
    return f"directions.{index}.{name}"

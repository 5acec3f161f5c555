"""Build ONNX nodes for the parts of models: lookups, linear layers, characters, recurrent layers, decoding.

A graph processes one sequence of T tokens; recurrent layers get a batch axis of size 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, helper

from cellzoo import load
from cellzoo.cells.graph import HIDDEN_WIDTH
from cellzoo.errors import CellzooError
from cellzoo.export.onnx_graph import OnnxGraph
from cellzoo.export.onnx_layers import scan_layers
from cellzoo.export.weights import weights_in_use
from cellzoo.layer import CellRNN
from tasks.deploy.reading import PADDING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnx import ValueInfoProto
    from torch import Tensor, nn

    from tasks.tagging.embeddings import CharacterFeatures

WORDS, LETTERS = "words", "letters"
"""Names of the dynamic axes: tokens, and characters of the longest word."""
_LOWEST = -1e30
"""Score of an impossible start; finite, because infinities could sum to NaN."""


def array(tensor: Tensor) -> np.ndarray:
    """Convert a tensor to a float32 array."""
    found: np.ndarray = tensor.detach().float().cpu().numpy()
    return found


def integers(name: str, *shape: str | int) -> ValueInfoProto:
    """Declare an integer input or output."""
    return helper.make_tensor_value_info(name, TensorProto.INT64, shape)


def floats(name: str, *shape: str | int) -> ValueInfoProto:
    """Declare a float input or output."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def linear(graph: OnnxGraph, layer: nn.Linear, value: str, output: str) -> str:
    """Add a linear layer over the rows of a matrix."""
    inputs = [value, graph.constant(f"{output}.weight", array(layer.weight))]
    if layer.bias is not None:
        inputs.append(graph.constant(f"{output}.bias", array(layer.bias)))
    return graph.add("Gemm", inputs, output, transB=1)


def look_up(graph: OnnxGraph, table: Tensor, numbers: str, output: str) -> str:
    """Add a lookup of rows of a table."""
    return graph.add("Gather", [graph.constant(f"{output}.table", array(table)), numbers], output, axis=0)


def characters(graph: OnnxGraph, part: CharacterFeatures, numbers: str, output: str) -> str:
    """Add the final states of the character LSTM for each word, (T, 2 hidden_size).

    Args:
        graph: The graph to extend.
        part: The features.
        numbers: Name of the input, (T, longest word), padded with -1.
        output: Name of the output.
    """
    rnn = part.rnn
    if rnn.cell.hash != load("lstm").hash:
        raise CellzooError(f"features {part.name!r}: their layer is not an LSTM")
    size = rnn.hidden_size
    zero = graph.constant("zero", np.array(0, dtype=np.int64))
    inside = graph.add("Greater", [numbers, graph.constant("padding", np.array(PADDING))], f"{output}.inside")
    counted = graph.add("Cast", [inside], f"{output}.counted", to=TensorProto.INT32)
    lengths = graph.add("ReduceSum", [counted, graph.integers(1)], f"{output}.lengths", keepdims=0)
    known = graph.add("Max", [numbers, zero], f"{output}.known")
    by_step = graph.add("Transpose", [known], f"{output}.by_step", perm=[1, 0])
    vectors = look_up(graph, part.vectors.weight, by_step, f"{output}.vectors")  # (letters, T, size)
    # ONNX has the gates in the order input, output, forget, candidate, and two biases.
    weights = [weights_in_use(rnn.direction(way)) for way in range(2)]
    stacked = {
        kind: np.stack([np.concatenate([array(one[f"{gate}_1_{kind}"]) for gate in "iofg"]) for one in weights])
        for kind in ("0", "1", "b")
    }
    bias = np.concatenate([stacked["b"], np.zeros_like(stacked["b"])], axis=1)
    named = [
        graph.constant(f"{output}.{name}", value)
        for name, value in (("input", stacked["0"]), ("recurrent", stacked["1"]), ("bias", bias))
    ]
    last = f"{output}.last"
    graph.nodes.append(
        helper.make_node(
            "LSTM",
            [vectors, *named, lengths],
            ["", last],
            name=f"{output}.lstm",
            hidden_size=size,
            direction="bidirectional",
        )
    )
    by_word = graph.add("Transpose", [last], f"{output}.by_word", perm=[1, 0, 2])  # (T, 2, size)
    return graph.add("Reshape", [by_word, graph.integers(-1, 2 * size)], output)


def recurrent(
    graph: OnnxGraph,
    rnn: nn.Module,
    value: str,
    output: str,
    *,
    start: Sequence[Tensor] | None = None,
    prefix: str = "",
) -> str:
    """Add a recurrent layer over one sequence, (T, E) to (T, directions * H).

    Args:
        graph: The graph to extend.
        rnn: A `CellRNN`.
        value: Name of the input.
        output: Name of the output.
        start: Initial states, each (layers * directions, 1, width); None for zeros.
        prefix: As in `scan_layers`.

    Raises:
        CellzooError: It is another layer.
    """
    if not isinstance(rnn, CellRNN):
        raise CellzooError(
            f"only models around a cell can be exported, not around a {type(rnn).__name__}; "
            "rnn_type='cell:lstm' and 'cell:gru' are equal to torch's layers"
        )
    states = []
    for index in range(len(rnn.directions)):
        mine = []
        for place, state in enumerate(rnn.inference_cell.states):
            width = rnn.hidden_size if state.width == HIDDEN_WIDTH else rnn.input_size
            first = np.zeros((1, width), dtype=np.float32) if start is None else array(start[place][index])
            mine.append(graph.constant(f"{prefix}start.{index}.{state.name}", first))
        states.append(mine)
    batch = graph.add("Unsqueeze", [value, graph.integers(1)], f"{output}.batch")  # (T, 1, E)
    outputs, _ = scan_layers(graph, rnn, batch, states, 0, prefix)
    return graph.add("Squeeze", [outputs, graph.integers(1)], output)


def best_tags(graph: OnnxGraph, emissions: str, transitions: Tensor, start: int, stop: int, output: str) -> str:
    """Add Viterbi decoding, (T,), with the same order of additions as `tasks.tagging.viterbi.best_tags`.

    Args:
        graph: The graph to extend.
        emissions: Name of the scores, (T, K).
        transitions: (K, K), `[to, from]`.
        start: The tag before each sequence.
        stop: The tag after each sequence.
        output: Name of the tags.
    """
    scores = array(transitions)
    tags = len(scores)
    moves = graph.constant("decoder.transitions", scores)
    first = np.full(tags, _LOWEST, dtype=np.float32)
    first[start] = 0.0
    best, pointers = f"{output}.best", f"{output}.pointers"

    step = OnnxGraph(graph)
    emitted = step.add("Unsqueeze", ["decoder.emission", graph.integers(1)], "decoder.emitted")  # (to K, 1)
    moved = step.add("Add", [emitted, moves], "decoder.moved")  # (to K, from K)
    arcs = step.add("Add", [moved, "decoder.before"], "decoder.arcs")  # (to K, from K)
    step.add("ReduceMax", [arcs], "decoder.after", axes=[1], keepdims=0)
    step.add("ArgMax", [arcs], "decoder.pointer", axis=1, keepdims=0)
    forward = step.finish(
        "decoder.forward",
        [floats("decoder.before", tags), floats("decoder.emission", tags)],
        [floats("decoder.after", tags), integers("decoder.pointer", tags)],
    )
    graph.nodes.append(
        helper.make_node(
            "Scan",
            [graph.constant("decoder.first", first), emissions],
            [best, pointers],
            name="decoder.forward",
            body=forward,
            num_scan_inputs=1,
        )
    )
    ends = graph.constant("decoder.stop", scores[stop])
    finished = graph.add("Add", [best, ends], f"{output}.finished")
    last = graph.add("ArgMax", [finished], f"{output}.last", axis=0, keepdims=0)

    back = OnnxGraph(graph)
    back.add("Identity", ["decoder.tag"], "decoder.here")
    back.add("Gather", ["decoder.pointers", "decoder.tag"], "decoder.previous", axis=0)
    backward = back.finish(
        "decoder.backward",
        [integers("decoder.tag"), integers("decoder.pointers", tags)],
        [integers("decoder.previous"), integers("decoder.here")],
    )
    graph.nodes.append(
        helper.make_node(
            "Scan",
            [last, pointers],
            [f"{output}.first", output],
            name="decoder.backward",
            body=backward,
            num_scan_inputs=1,
            scan_input_directions=[1],
            scan_output_directions=[1],
        )
    )
    return output

"""Export a classifier as one ONNX file: word vectors, recurrent layer, pooling, comparison of pairs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from cellzoo.export.onnx_graph import OnnxGraph
from cellzoo.export.onnx_model import model_of, write_model
from cellzoo.layer import CellRNN
from tasks.classification.model_file import FIRST
from tasks.deploy.parts import floats, integers, linear, recurrent
from tasks.deploy.reading import PROPERTY, Description, Input

if TYPE_CHECKING:
    from pathlib import Path

    from cellzoo.heads import TextHead
    from tasks.classification.model_file import SavedClassifier


def export_classifier(saved: SavedClassifier, path: Path) -> None:
    """Write a classifier as an ONNX file.

    Inputs are `first` (T,) and for pairs `second`, outputs are `scores` (classes,) and with classes also
    `class`, the number of the best class.

    Raises:
        CellzooError: Its recurrent layer is not a `CellRNN`.
        OutputError: The file cannot be written.
    """
    graph = OnnxGraph()
    model = saved.model
    names = ("first", "second") if saved.is_pairs else ("first",)
    table = graph.constant("vectors", model.vectors.detach().float().cpu().numpy())
    states = []
    for name in names:
        embedded = graph.add("Gather", [table, name], f"{name}.embedded", axis=0)
        prefix = "" if name == names[0] else f"{name}."
        states.append(recurrent(graph, model.rnn, embedded, f"{name}.states", prefix=prefix))  # (T, D)
    scores = _head(graph, model.head, states)  # (1, classes)
    outputs = [floats("scores", max(1, len(saved.labels)))]
    graph.add("Squeeze", [scores, graph.integers(0)], "scores")
    if saved.labels:
        graph.add("ArgMax", ["scores"], "class", axis=0, keepdims=0)
        outputs.append(integers("class"))
    description = Description(
        task="pairs" if saved.is_pairs else "classification",
        inputs=tuple(
            Input(name=name, kind="words", items=saved.words, first=FIRST, unknown=saved.unknown)
            for name in names[:1]
        ),
        labels=saved.labels,
        tokens="glove",
        max_length=saved.settings.max_length,
    )
    made = graph.finish("classifier", [integers(name, f"{name}_words") for name in names], outputs)
    assert isinstance(model.rnn, CellRNN)  # noqa: S101 - `recurrent` has checked it
    write_model(model_of(made, model.rnn.cell, {PROPERTY: description.model_dump_json()}), path)


def _head(graph: OnnxGraph, head: TextHead, states: list[str]) -> str:
    """Add `cellzoo.heads.TextHead` for one example."""
    if not head.pairs:
        features = _pooled(graph, head, states[0], "pooled")
    else:
        first, second = states
        if head.compare is not None:
            first, second = _attended(graph, head, first, second)
        u, v = _pooled(graph, head, first, "u"), _pooled(graph, head, second, "v")
        features = _compared(graph, u, v, "compared")
    hidden = graph.add("Relu", [linear(graph, head.hidden, features, "hidden")], "hidden.units")
    return linear(graph, head.output, hidden, "output")


def _attended(graph: OnnxGraph, head: TextHead, first: str, second: str) -> tuple[str, str]:
    assert head.compare is not None  # noqa: S101 - the caller has seen to it
    root = graph.constant("attention.root", np.array(math.sqrt(head.compare.out_features), dtype=np.float32))
    turned = graph.add("Transpose", [second], "attention.second", perm=[1, 0])
    products = graph.add("MatMul", [first, turned], "attention.products")  # (T1, T2)
    scores = graph.add("Div", [products, root], "attention.scores")
    found = []
    for name, mine, others, axis in (("first", first, second, 1), ("second", second, first, 0)):
        shares = graph.add("Softmax", [scores], f"attention.{name}.shares", axis=axis)
        if axis == 0:
            shares = graph.add("Transpose", [shares], f"attention.{name}.turned", perm=[1, 0])
        heard = graph.add("MatMul", [shares, others], f"attention.{name}.heard")
        both = _compared(graph, mine, heard, f"attention.{name}")
        weights = [
            graph.constant("compare.weight", head.compare.weight.detach().float().cpu().numpy()),
            graph.constant("compare.bias", head.compare.bias.detach().float().cpu().numpy()),
        ]
        layer = graph.add("Gemm", [both, *weights], f"attention.{name}.layer", transB=1)
        found.append(graph.add("Relu", [layer], f"attention.{name}.compared"))
    return found[0], found[1]


def _compared(graph: OnnxGraph, u: str, v: str, output: str) -> str:
    """Concatenate [u; v; |u - v|; u * v] along the units."""
    difference = graph.add("Sub", [u, v], f"{output}.difference")
    distance = graph.add("Abs", [difference], f"{output}.distance")
    product = graph.add("Mul", [u, v], f"{output}.product")
    return graph.join([u, v, distance, product], f"{output}.both", axis=1)


def _pooled(graph: OnnxGraph, head: TextHead, states: str, output: str) -> str:
    """Pool the states of a text, (1, D)."""
    if head.pooling == "max":
        return graph.add("ReduceMax", [states], output, axes=[0], keepdims=1)
    if head.pooling == "mean":
        return graph.add("ReduceMean", [states], output, axes=[0], keepdims=1)
    last = graph.add("Gather", [states, graph.integers(-1)], f"{output}.last", axis=0)
    if not head.bidirectional:
        return last
    first = graph.add("Gather", [states, graph.integers(0)], f"{output}.first", axis=0)
    half = _width(head) // 2
    forward = graph.add(
        "Slice", [last, graph.integers(0), graph.integers(half), graph.integers(1)], f"{output}.f"
    )
    rest = [first, graph.integers(half), graph.integers(2 * half), graph.integers(1)]
    return graph.join([forward, graph.add("Slice", rest, f"{output}.b")], output, axis=1)


def _width(head: TextHead) -> int:
    return head.hidden.in_features // (4 if head.pairs else 1)

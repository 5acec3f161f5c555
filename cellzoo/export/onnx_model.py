"""A CellRNN as an ONNX model: for one step, a fixed number of steps, or any number."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from cellzoo.errors import OutputError
from cellzoo.system.atomic import write_atomically
from cellzoo.system.extras import require
from cellzoo.system.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onnx import GraphProto, ModelProto

    from cellzoo.cells.cell import Cell
    from cellzoo.layer import CellRNN

ANY: Literal["any"] = "any"
MAX_UNROLLED = 100_000
OPSET, IR_VERSION = 17, 8
MAX_BYTES = 2**31 - 1


def to_onnx(rnn: CellRNN, path: Path | str, *, steps: int | Literal["any"] | None = None) -> None:
    """Write a recurrent layer as an ONNX file, for inference (dropout does nothing).

    The file's inputs and outputs are those of a call of the layer, all float32; the batch may have any size:

        input      (B, E) for one step; (T, B, E) for a sequence, (B, T, E) with `batch_first`
        h_0, ...   each state, (num_layers * num_directions, B, H), named as in the cell; zeros to begin
        output     (B, H) for one step; else as `input`, of width num_directions * H
        h_n, ...   each state after the last step

    The weights are named as in the layer's `state_dict`, and block-diagonal ones have the zeros between their
    blocks; the file's metadata hold the cell.

    Args:
        rnn: The layer, with all its layers and directions.
        path: The file to write; an existing one is replaced.
        steps: None for one step; a number T for a sequence of T steps, written without control flow; `any`
            for a sequence of any length, by the operator Scan.

    Raises:
        MissingDependencyError: The package onnx is not installed.
        ValueError: The layer is bidirectional, so there is no single step; it is not float32; or `steps` is
            not a length, or one that asks for too large a graph.
        OutputError: The file cannot be written.
    """
    require("onnx", "export")
    write_model(build_model(rnn, steps), Path(path))


def write_model(model: ModelProto, path: Path) -> None:
    """Check a model and write it atomically.

    Raises:
        OutputError: It is too large for one file, or cannot be written.
    """
    import onnx

    if model.ByteSize() > MAX_BYTES:
        raise OutputError(f"{path}: the model has {model.ByteSize():,} bytes; an ONNX file has at most 2 GiB")
    onnx.checker.check_model(model, full_check=True)
    write_atomically(path, model.SerializeToString())


def build_model(rnn: CellRNN, steps: int | Literal["any"] | None) -> ModelProto:
    """Build what `to_onnx` writes; arguments and errors as there."""
    from cellzoo.export.onnx_layers import build_graph

    _check(rnn, steps)
    return model_of(build_graph(rnn, steps), rnn.cell, {})


def model_of(graph: GraphProto, cell: Cell, properties: Mapping[str, str]) -> ModelProto:
    """Put a graph into a model whose metadata hold the cell, and further properties."""
    from onnx import helper

    from cellzoo import __version__

    model = helper.make_model(
        graph,
        producer_name="cellzoo",
        producer_version=__version__,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    about = {"cell_name": printable(cell.name), "cell_hash": cell.hash, "cell": cell.to_json()}
    helper.set_model_props(model, {**about, **properties})
    return model


def _check(rnn: CellRNN, steps: int | Literal["any"] | None) -> None:
    for name, tensor in rnn.state_dict().items():
        if tensor.dtype != torch.float32:
            raise ValueError(f"{name} is {tensor.dtype}; ONNX files are float32: call .float() before")
    if steps is None and rnn.bidirectional:
        raise ValueError("a bidirectional layer has no single step; give the number of steps, or 'any'")
    if steps is None or steps == ANY:
        return
    if type(steps) is not int or steps < 1:
        raise ValueError(f"steps is {steps!r:.40}; expected None, a number from 1, or {ANY!r}")
    nodes = steps * len(rnn.directions) * len(rnn.inference_cell.live_nodes)
    if nodes > MAX_UNROLLED:
        raise ValueError(
            f"steps is {steps}; that would be {nodes:,} nodes, and at most {MAX_UNROLLED:,} are written out; "
            f"{ANY!r} gives a graph of the size of one step"
        )

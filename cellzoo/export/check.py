"""Compares the outputs of an exported file with those of the layer."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from cellzoo.cells.graph import HIDDEN_WIDTH
from cellzoo.system.extras import require

if TYPE_CHECKING:
    from torch import Tensor

    from cellzoo.layer import CellRNN


def random_inputs(
    rnn: CellRNN, *, steps: int | None, batch: int = 3, seed: int = 0
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Draw an input and initial states for a layer from the standard normal distribution.

    Args:
        rnn: The layer.
        steps: T; None for the input of one step, without a time axis.
        batch: B.
        seed: Of a generator of its own.

    Returns:
        (B, E), (T, B, E), or (B, T, E) with `batch_first`; and each state,
        (num_layers * num_directions, B, H), delayed inputs (..., E).
    """
    generator = torch.Generator().manual_seed(seed)
    # A cell may have no weights.
    like = next(rnn.parameters(), torch.empty(0))
    leading = [batch]
    if steps is not None:
        leading.insert(1 if rnn.batch_first else 0, steps)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(like)

    states = tuple(
        draw(len(rnn.directions), batch, rnn.hidden_size if state.width == HIDDEN_WIDTH else rnn.input_size)
        for state in rnn.inference_cell.states
    )
    return draw(*leading, rnn.input_size), states


def onnx_error(rnn: CellRNN, path: Path | str, *, steps: int | None, batch: int = 3, seed: int = 0) -> float:
    """Run a file that `to_onnx` wrote with onnxruntime, on random input, and compare it with the layer.

    Args:
        rnn: The layer that the file was made from.
        path: The file.
        steps: T of the input; None if the file is of one step.
        batch: B of the input.
        seed: Of the input.

    Returns:
        The largest difference between the file's and the layer's outputs and states, absolute where values
        are below 1 and relative above; infinite where only one of them is not a number.

    Raises:
        MissingDependencyError: The package onnxruntime is not installed.
    """
    require("onnxruntime", "export")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(Path(path), options, providers=["CPUExecutionProvider"])
    x, states = random_inputs(rnn, steps=steps, batch=batch, seed=seed)
    feed = {
        "input": x,
        **{f"{state.name}_0": value for state, value in zip(rnn.inference_cell.states, states, strict=True)},
    }
    names = ["output", *(f"{state.name}_n" for state in rnn.inference_cell.states)]
    found = session.run(names, {name: value.detach().cpu().numpy() for name, value in feed.items()})
    expected = call(rnn, x, states)
    return max(
        _difference(torch.as_tensor(one), other.cpu()) for one, other in zip(found, expected, strict=True)
    )


def _difference(found: Tensor, expected: Tensor) -> float:
    same = (found == expected) | (found.isnan() & expected.isnan())
    difference = (found - expected).abs() / expected.abs().clamp(min=1)
    return difference.masked_fill(same, 0.0).nan_to_num(nan=math.inf).max().item()


@torch.no_grad()
def call(rnn: CellRNN, x: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Run a layer for inference, one step if x has no time axis (B, E); return output and final states."""
    training = rnn.training
    rnn.eval()
    try:
        hx = states if len(states) > 1 else states[0]
        axis = 1 if rnn.batch_first else 0
        output, final = rnn(x.unsqueeze(axis) if x.dim() == 2 else x, hx)
    finally:
        rnn.train(training)
    after = final if isinstance(final, tuple) else (final,)
    return (output.squeeze(axis) if x.dim() == 2 else output, *after)

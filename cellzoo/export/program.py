"""A CellRNN as a program of torch.export."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from cellzoo.export.check import random_inputs
from cellzoo.export.weights import weights_in_use
from cellzoo.layer import CellRNN

if TYPE_CHECKING:
    from torch.export import ExportedProgram


def to_torch_export(rnn: CellRNN, *, steps: int | None = None) -> ExportedProgram:
    """Export a recurrent layer, for inference (dropout does nothing), with its weights.

    The program is called as `program.module()(input, *states)` and gives `(output, *states)`, with the shapes
    that `to_onnx` names; the batch may have any size. `torch.export.save` writes it to a file.

    Args:
        rnn: The layer, of any dtype, with all its layers and directions.
        steps: None for one step; T for a sequence of T steps. A program for any length would need a loop
            that torch.export does not write; `to_onnx` has one.

    Raises:
        ValueError: The layer is bidirectional, so there is no single step; or `steps` is not a length.
    """
    if steps is None and rnn.bidirectional:
        raise ValueError("a bidirectional layer has no single step; give the number of steps")
    if steps is not None and (type(steps) is not int or steps < 1):
        raise ValueError(f"steps is {steps!r:.40}; expected None or a number from 1")
    module = _Flat(_with_reference_engine(rnn), one_step=steps is None).eval()
    x, states = random_inputs(rnn, steps=steps)
    batch = torch.export.Dim("batch")
    batch_axis = 0 if steps is None or rnn.batch_first else 1
    shapes = {"x": {batch_axis: batch}, "states": tuple({1: batch} for _ in states)}
    return torch.export.export(module, (x, *states), dynamic_shapes=shapes)


class _Flat(nn.Module):
    """A layer with a flat list of tensors as inputs and outputs; for one step, without the time axis."""

    def __init__(self, rnn: CellRNN, *, one_step: bool) -> None:
        super().__init__()
        self.rnn = rnn
        self.one_step = one_step

    def forward(self, x: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        axis = 1 if self.rnn.batch_first else 0
        output, final = self.rnn(
            x.unsqueeze(axis) if self.one_step else x, states if len(states) > 1 else states[0]
        )
        after = (final,) if isinstance(final, Tensor) else final
        return (output.squeeze(axis) if self.one_step else output, *after)


def _with_reference_engine(rnn: CellRNN) -> CellRNN:
    """A copy of the layer with the reference engine, which consists of plain torch operations."""
    copy = CellRNN(
        rnn.inference_cell,
        rnn.input_size,
        rnn.hidden_size,
        rnn.num_layers,
        rnn.bias,
        rnn.batch_first,
        bidirectional=rnn.bidirectional,
        device="meta",
        runtime="reference",
    )
    for index in range(len(rnn.directions)):
        keys = copy.direction(index).keys
        weights = weights_in_use(rnn.direction(index))
        copy.direction(index).load_state_dict(
            {keys[name]: value.clone() for name, value in weights.items()}, assign=True
        )
    return copy

"""Export a recurrent layer, as ONNX or as a program of torch.export.

    rnn = cellzoo.rnn("darts-v2", input_size=100, hidden_size=256)
    to_onnx(rnn, "step.onnx")                  one step
    to_onnx(rnn, "five.onnx", steps=5)         a sequence of five steps, without control flow
    to_onnx(rnn, "any.onnx", steps="any")      a sequence of any length
    program = to_torch_export(rnn, steps=5)    torch.export.save writes it to a file

The ONNX graph is built from the cell, node for node, not traced. ONNX needs the extra `export`.
"""

from __future__ import annotations

from cellzoo.export.check import onnx_error, random_inputs
from cellzoo.export.onnx_model import ANY, to_onnx
from cellzoo.export.program import to_torch_export

__all__ = ["ANY", "onnx_error", "random_inputs", "to_onnx", "to_torch_export"]

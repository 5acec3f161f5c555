"""Check: exported files give the outputs of the layer."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import SkipTest

import torch

from cellzoo.errors import MissingDependencyError
from cellzoo.testing.subject import build, label, largest_layout, needed_layout

if TYPE_CHECKING:
    from cellzoo.cells.cell import Cell
    from cellzoo.testing import Layer

TOLERANCE = 1e-5
STEPS = 3


def check_export(cell: Cell, layer: Layer) -> None:
    """ONNX files of one step and of sequences of any length give what the layer gives.

    Raises:
        SkipTest: The packages of the extra `export` are not installed.
    """
    from cellzoo.export import ANY, onnx_error, to_onnx

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cell.onnx"
        for where, form, steps in ((needed_layout(cell), None, None), (largest_layout(cell), ANY, STEPS)):
            rnn = build(cell, layer, where, dtype=torch.float32)
            try:
                to_onnx(rnn, path, steps=form)
                error = onnx_error(rnn, path, steps=steps)
            except MissingDependencyError as missing:
                raise SkipTest(str(missing)) from missing
            if not error <= TOLERANCE:
                raise AssertionError(
                    f"{label(cell)}: the ONNX file of {'one step' if form is None else 'sequences'} differs "
                    f"from the layer by {error:.1e}, allowed is {TOLERANCE:.0e}"
                )

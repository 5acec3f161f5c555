"""Transformations of cells: each takes one or two cells and returns a cell, which every engine can run.

from cellzoo import rewrites

cell = rewrites.multiplicative_integration(cellzoo.load("lstm"))
cell = rewrites.independent_recurrence(cellzoo.load("gru"))
cell = rewrites.fast_slow(cellzoo.load("lstm"), cellzoo.load("lstm"))
cell = rewrites.layer_norm(cellzoo.load("darts-v2"))     # also CellRNN(..., layer_norm=True)
"""

from __future__ import annotations

from cellzoo.rewrites.fast_slow import fast_slow
from cellzoo.rewrites.independent import independent_recurrence
from cellzoo.rewrites.integration import multiplicative_integration
from cellzoo.rewrites.norm import layer_norm

__all__ = ["fast_slow", "independent_recurrence", "layer_norm", "multiplicative_integration"]

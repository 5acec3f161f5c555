"""How long a training step of a recurrent layer takes, beside the same step of `lstm`.

Machines are shared and change their clocks, so both are measured in turns, and what counts is the ratio. On the
CPU with one thread it is processor time, which other processes do not add to.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from statistics import median
from typing import TYPE_CHECKING

import torch

from tasks.equal_terms import solve_width

if TYPE_CHECKING:
    from collections.abc import Callable

    from cellzoo.cells.cell import Cell
    from tasks.problem import LayerSpec

STEPS = 24
"""Words of a sequence, about the length of a sentence."""
BATCH = 32
PRECISION = 1 / 32
"""Share of a width below which differences of time drown in noise."""
_TURNS = 5
_LEAST_SECONDS = 0.02
_REFERENCE = "lstm"


class StepTimes:
    """Training times of a cell by its width, as multiples of those of `lstm` in a given layer.

    Args:
        cell: The cell.
        layer: Of the reference.
        batch: B.
        layer_of: Width -> the layer of the cell.
    """

    def __init__(self, cell: Cell, layer: LayerSpec, batch: int, layer_of: Callable[[int], LayerSpec]) -> None:
        from cellzoo.catalog import load

        self.cell = cell
        self.layer = layer
        self.batch = batch
        self.layer_of = layer_of
        self._reference = _Step(load(_REFERENCE), self.layer, self.batch)

    def ratio(self, width: int) -> float:
        """The time of a step at a width, divided by that of the reference: the median of a few turns."""
        step = _Step(self.cell, self.layer_of(width), self.batch)
        return median(step.seconds() / self._reference.seconds() for _ in range(_TURNS))

    def solve(self, target: float) -> tuple[int, float]:
        """The width whose time is nearest to `target` times the reference's, and its ratio, measured again."""
        width = solve_width(self.ratio, target, step=self.cell.heads, precision=PRECISION)
        return width, self.ratio(width)

    def digest(self, target: float) -> str:
        """What stands for the question in the name of a file: 64 hexadecimal digits."""
        from tasks.runs.record_key import content_digest

        layer = {name: str(value) for name, value in asdict(self.layer).items()}
        threads = torch.get_num_threads()
        return content_digest(
            {"cell": self.cell.hash, "layer": layer, "batch": self.batch, "target": target, "threads": threads}
        )


class _Step:
    """Forward and backward of one layer on drawn input."""

    def __init__(self, cell: Cell, layer: LayerSpec, batch: int) -> None:
        from tasks.training.fit import recurrent_layer

        generator = torch.Generator().manual_seed(0)
        self.rnn = recurrent_layer(cell, layer, generator)
        values = torch.randn(STEPS, batch, layer.input_size, generator=generator, dtype=layer.dtype)
        self.input = values.to(layer.device).requires_grad_()  # (T, B, E)
        self.clock = _clock(layer.device)
        self._run()
        self.times = max(1, int(_LEAST_SECONDS / max(self._run(), 1e-9)))

    def seconds(self) -> float:
        """Mean of as many steps as the clock needs."""
        return sum(self._run() for _ in range(self.times)) / self.times

    def _run(self) -> float:
        devices = [] if self.input.device.type == "cpu" else [self.input.device]
        with torch.random.fork_rng(devices):
            begin = self.clock()
            output, _ = self.rnn(self.input)  # (T, B, directions * H)
            output.sum().backward()
            return self.clock() - begin


def _clock(device: torch.device | None) -> Callable[[], float]:
    if device is not None and device.type == "cuda":

        def synchronised() -> float:
            torch.cuda.synchronize(device)
            return time.perf_counter()

        return synchronised
    return time.process_time if torch.get_num_threads() == 1 else time.perf_counter

"""The benchmark `stream` of `cellzoo bench`: steps that come one at a time, beside torch's own cells."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from cellzoo.bench.case import LSTM, Case, Shape
from cellzoo.bench.cells import pass_flops
from cellzoo.catalog import load
from cellzoo.errors import CellzooError
from cellzoo.layer import CellRNN

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cellzoo.bench.case import Pass

CELLS = ("lstm", "gru", "darts-v2")
LSTM_CELL, GRU_CELL = "nn.LSTMCell", "nn.GRUCell"
_COUNTERPARTS = {"lstm": LSTM_CELL, "gru": GRU_CELL}


def cases(shape: Shape, dtype: str, engines: Sequence[str]) -> list[Case]:
    """As many calls of `CellRNN.step` as the shape has time steps, with each of a few cells, for inference.

    Beside them: calls of nn.LSTM with sequences of one step, and of torch's cell of the same equations.

    Raises:
        CellzooError: The shape is packed.
    """
    if shape.packed:
        raise CellzooError(f"shape {shape}: streams have no lengths; give a padded shape, such as `one`")
    lstm = pass_flops(load("lstm"), shape, training=False)
    found = []
    for name in CELLS:
        own = pass_flops(load(name), shape, training=False)
        others = {LSTM: lstm} | ({_COUNTERPARTS[name]: own} if name in _COUNTERPARTS else {})
        found.append(
            Case(
                title=f"stream with {name}, shape {shape}, {shape.steps} single steps, {dtype}",
                shape=shape,
                flops=dict.fromkeys(engines, own) | others,
                engines=engines,
                build=partial(build, cell=name, dtype=dtype),
                description={
                    "cell": name,
                    "shape": asdict(shape),
                    "pass": "stream",
                    "dtype": dtype,
                    "loop": "none: every candidate is called step by step",
                },
            )
        )
    return found


def build(name: str, shape: Shape, *, cell: str, dtype: str) -> Pass:
    """Build a candidate: a module of torch by its name, or ours with the cell by the engine of that name."""
    kinds: dict[str, Callable[..., nn.Module]] = {
        LSTM: nn.LSTM,
        LSTM_CELL: nn.LSTMCell,
        GRU_CELL: nn.GRUCell,
    }
    make = kinds.get(name, partial(CellRNN, load(cell), runtime=name))
    module = make(shape.input_size, shape.hidden_size, dtype=getattr(torch, dtype)).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.uniform_(-(shape.hidden_size**-0.5), shape.hidden_size**-0.5, generator=generator)
    sizes = shape.steps, shape.batch, shape.input_size
    x = torch.randn(sizes, dtype=getattr(torch, dtype), generator=generator)  # (T, B, E)
    step = _step_of(module)

    def run() -> list[Tensor]:
        state, outputs = None, []
        with torch.no_grad():
            for rows in x:
                output, state = step(rows, state)
                outputs.append(output)
        return [torch.stack(outputs)]  # (T, B, H)

    return run


def _step_of(module: nn.Module) -> Callable[[Tensor, Any], tuple[Tensor, Any]]:
    """What maps x (B, E) and the states to the output (B, H) and the next states."""

    def step_of_sequence(x: Tensor, state: Any) -> tuple[Tensor, Any]:
        output, state = module(x[None], state)
        return output[0], state

    def step_of_cell(x: Tensor, state: Any) -> tuple[Tensor, Any]:
        state = module(x, state)
        return (state[0] if isinstance(state, tuple) else state), state

    if isinstance(module, CellRNN):
        return module.step
    return step_of_sequence if isinstance(module, nn.LSTM) else step_of_cell

"""Check: gradients equal finite differences."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from cellzoo.testing.subject import build, give, label, listed, needed_layout, random, random_states

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from cellzoo.cells.cell import Cell
    from cellzoo.layer import CellRNN
    from cellzoo.testing import Layer

INPUT, STATE = "the input", "initial state "


def check_gradients(cell: Cell, layer: Layer) -> None:
    """Gradients of the input, the initial states and every weight equal finite differences (gradcheck).

    The weights are drawn from a wider distribution than the layer's initialisation, with which the gradients
    of deep cells would be too small.
    """
    where = needed_layout(cell, hidden_size=2)
    rnn = build(cell, layer, where)
    values = {INPUT: random(2, 1, where.input_size, seed=1)}
    states = random_states(cell, where, 1)
    values |= {f"{STATE}{state.name}": value for state, value in zip(cell.states, states, strict=True)}
    for index, (name, parameter) in enumerate(rnn.named_parameters()):
        values[name] = 0.7 * random(*parameter.shape, seed=20 + index)
    if not _agree(rnn, values, list(values)):
        wrong = [name for name in values if not _agree(rnn, values, [name])] or ["all of them together"]
        raise AssertionError(f"{label(cell)}: gradients differ from finite differences: {', '.join(wrong)}")


def _agree(rnn: CellRNN, values: Mapping[str, Tensor], names: Sequence[str]) -> bool:
    """Whether the gradients of these values, taken as one long vector, pass gradcheck's fast mode."""
    shapes = [values[name].shape for name in names]

    def run(vector: Tensor) -> Tensor:
        pieces = vector.split([math.prod(shape) for shape in shapes])
        given = {**values, **{n: p.view(s) for n, p, s in zip(names, pieces, shapes, strict=True)}}
        x = given.pop(INPUT)
        states = [given.pop(name) for name in values if name.startswith(STATE)]
        output, final = torch.func.functional_call(rnn, given, (x, give(states)))
        # One tensor, because gradcheck cannot handle a state that depends on no input.
        return torch.cat([result.flatten() for result in (output, *listed(final))])

    vector = torch.cat([values[name].flatten() for name in names]).requires_grad_()
    return torch.autograd.gradcheck(run, (vector,), fast_mode=True, raise_exception=False)

"""Zoneout, the random preservation of units of a state; Krueger et al. 2017, equations 6 and 7.

In training each unit of each sequence keeps its previous value with probability p at each step. In eval mode
the next state is the expected value, p * previous + (1 - p) * next. That is a cell of its own, which every
engine runs at full speed. Training calls the engine once per step, as new random numbers are drawn at each.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from cellzoo.arguments import REAL
from cellzoo.cells.cell import Cell
from cellzoo.cells.graph import HIDDEN_WIDTH, Node, constant
from cellzoo.errors import CellError, unknown
from cellzoo.rewrites.replacing import Names
from cellzoo.runtime.steps import walk

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from cellzoo.runtime import Runtime


def state_rates(cell: Cell, zoneout: float | Mapping[str, float]) -> dict[str, float]:
    """The probability of each state with zoneout: a number applies to all states of the hidden width.

    Raises:
        ValueError: A value is not a probability below 1.
        UnknownNameError: There is no such state.
        CellError: A state holds previous inputs.
    """
    widths = {state.name: state.width for state in cell.states}
    if isinstance(zoneout, dict):
        given = dict(zoneout)
    else:
        given = dict.fromkeys((name for name, width in widths.items() if width == HIDDEN_WIDTH), zoneout)
    for name, rate in given.items():
        if name not in widths:
            raise unknown("state for zoneout", str(name)[:80], widths)
        if widths[name] != HIDDEN_WIDTH:
            raise CellError(f"zoneout: the state {name!r} holds inputs, which do not stay")
        if isinstance(rate, bool) or not isinstance(rate, REAL) or not 0.0 <= rate < 1.0:
            raise ValueError(f"zoneout is {rate!r:.40}; it must be a probability, 0 to below 1")
    return {name: float(rate) for name, rate in given.items() if rate > 0.0}


def expected_cell(cell: Cell, rates: Mapping[str, float]) -> Cell:
    """The cell whose next states are the expected values under zoneout."""
    names = Names(cell)
    nodes = list(cell.nodes)
    states, output, shown = [], cell.output, _output_state(cell)
    for index, state in enumerate(cell.states):
        if state.name not in rates:
            states.append(state)
            continue
        rate = constant(names.free(f"{state.name}_rate"), rates[state.name])
        kept = Node(names.free(f"{state.name}_zoned"), "blend", (rate.name, state.name, state.next))
        nodes += [rate, kept]
        states.append(replace(state, next=kept.name))
        output = kept.name if index == shown else output
    return Cell(tuple(states), tuple(nodes), output, name=cell.name, init=cell.init)


def _output_state(cell: Cell) -> int | None:
    """Index of the first state whose next value is the cell's output; None if there is no such state."""
    return next((index for index, state in enumerate(cell.states) if state.next == cell.output), None)


def run_zoned(
    runtime: Runtime,
    cell: Cell,
    rates: Mapping[str, float],
    data: Tensor,
    batch_sizes: Sequence[int],
    states: Sequence[Tensor],
    weights: Mapping[str, Tensor],
    *,
    reverse: bool,
    mask_x: Tensor | None,
    mask_h: Tensor | None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run a training pass step by step; arguments as in `cellzoo.runtime.Runtime`, except the following.

    Args:
        runtime: The engine, prepared for the cell.
        cell: The cell.
        rates: State -> probability that a unit keeps its value.
        data: As `inputs` there.
        batch_sizes: See there, as for all that follow.
        states: See there.
        weights: See there.
        reverse: See there.
        mask_x: See there.
        mask_h: See there.
    """
    shown = _output_state(cell)

    def step(
        _: int, x: Tensor, states: Sequence[Tensor], mask_x: Tensor | None, mask_h: Tensor | None
    ) -> tuple[Tensor, list[Tensor]]:
        output, after = runtime(x, (x.size(0),), states, weights, mask_x=mask_x, mask_h=mask_h)
        zoned = []
        for state, old, new in zip(cell.states, states, after, strict=True):
            rate = rates.get(state.name, 0.0)
            is_kept = torch.rand_like(new) < rate if rate else None  # (b, H)
            zoned.append(new if is_kept is None else torch.where(is_kept, old, new))
        return output if shown is None else zoned[shown], zoned

    return walk(step, data, batch_sizes, states, reverse=reverse, mask_x=mask_x, mask_h=mask_h)

"""Check: variational dropout masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from cellzoo.cells.graph import HIDDEN_WIDTH, INPUT_WIDTH
from cellzoo.cells.ops import LINEAR
from cellzoo.testing.subject import (
    LayerSizes,
    assert_all_close,
    assert_close,
    build,
    give,
    label,
    listed,
    needed_layout,
    random,
    random_states,
)

if TYPE_CHECKING:
    from cellzoo.cells.cell import Cell
    from cellzoo.layer import CellRNN
    from cellzoo.testing import Layer


# Several draws of the weights, because with one of them all rectifiers may output 0.
SEEDS = (7, 8, 9)


def check_masks(cell: Cell, layer: Layer) -> None:
    """Variational masks act where matrices multiply and nowhere else, once a sequence, in training only."""
    where = needed_layout(cell)
    x = random(3, 2, where.input_size, seed=1)
    plain, _ = build(cell, layer, where)(x)
    masked_x = build(cell, layer, where, dropout_x=1.0)
    masked_h = build(cell, layer, where, dropout_h=1.0)
    for option, rnn, width in (("dropout_x", masked_x, INPUT_WIDTH), ("dropout_h", masked_h, HIDDEN_WIDTH)):
        assert_close(rnn.eval()(x)[0], plain, f"{label(cell)}: {option} in eval mode: output")
        # With everything masked, products of values of this width are 0, but carried values are unchanged.
        output, final = rnn.train()(x)
        expected, states = _without_products(build(cell, layer, where), cell, width)(x)
        what = f"{label(cell)}: with {option} 1, against products of 0"
        assert_close(output, expected, f"{what}: output")
        assert_all_close(listed(final), listed(states), f"{what}: states")
    differ = [
        _draws_differ(cell, build(cell, layer, where, seed, dropout_x=0.5, dropout_h=0.5), where)
        for seed in SEEDS
    ]
    if any(node.op == LINEAR for node in cell.live_nodes) and not any(differ):
        raise AssertionError(f"{label(cell)}: 16 equal sequences got equal masks")


def _without_products(rnn: CellRNN, cell: Cell, width: str) -> CellRNN:
    """Set the matrices that multiply values of a width to 0."""
    reading = {
        weight
        for node in cell.live_nodes
        if node.op == LINEAR
        for weight, source in zip(node.weights, node.inputs, strict=True)
        if cell.widths[source] == width
    }
    with torch.no_grad():
        for name, weight in rnn.direction(0).weights.items():
            if name in reading:
                weight.zero_()
    return rnn


def _draws_differ(cell: Cell, rnn: CellRNN, where: LayerSizes) -> bool:
    """Whether equal sequences of a batch get different masks.

    Also asserts that all steps use one mask: running step by step with the same seed gives the same result.
    """
    x = random(1, 1, where.input_size, seed=2).expand(3, 16, where.input_size)
    # From random states, because some cells stay at zero whatever they read.
    first = give([state.expand(1, 16, -1) for state in random_states(cell, where, 1)])
    kept = torch.get_rng_state()
    try:
        torch.manual_seed(3)
        whole, last = rnn(x, first)
        parts, hx = [], first
        for step in x:
            torch.manual_seed(3)
            output, final = rnn(step.unsqueeze(0), hx)
            hx = give(listed(final))
            parts.append(output)
    finally:
        torch.set_rng_state(kept)
    assert_close(
        torch.cat(parts), whole, f"{label(cell)}: masks differ between the steps of a sequence: output"
    )
    results = torch.cat([whole[-1], *(state[0] for state in listed(last))], dim=1)  # (16, widths)
    return len({tuple(row) for row in results.tolist()}) > 1

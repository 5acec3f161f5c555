"""Checks on sequences: packed batches, directions, carried state, independent rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence

from cellzoo.testing.subject import (
    LENGTHS,
    assert_all_close,
    assert_close,
    build,
    give,
    label,
    largest_layout,
    layout,
    listed,
    needed_layout,
    random,
    random_states,
)

if TYPE_CHECKING:
    from cellzoo.cells.cell import Cell
    from cellzoo.testing import Layer


def check_packed(cell: Cell, layer: Layer) -> None:
    """Each sequence of a packed batch gives what it gives alone, whatever the order of lengths."""
    where = largest_layout(cell)
    rnn = build(cell, layer, where)
    parts = [random(length, where.input_size, seed=index) for index, length in enumerate(LENGTHS)]
    states = random_states(cell, where, len(parts))
    packed, final = rnn(pack_sequence(parts, enforce_sorted=False), give(states))
    padded, _ = pad_packed_sequence(packed)  # (T, B, width)
    for index, part in enumerate(parts):
        output, alone = rnn(part, give([state[:, index] for state in states]))
        what = f"{label(cell)}: sequence {index} of length {len(part)}, packed and alone"
        assert_close(padded[: len(part), index], output, f"{what}: output")
        assert_all_close([state[:, index] for state in listed(final)], listed(alone), f"{what}: states")


def check_directions(cell: Cell, layer: Layer) -> None:
    """The first direction is the layer alone, the second is the layer alone on the reversed sequence."""
    where = layout(cell, bidirectional=True)
    if where is None:
        return
    both = build(cell, layer, where)
    alone = build(cell, layer, where._replace(bidirectional=False), seed=8)
    x = random(5, 2, where.input_size, seed=1)
    output, final = both(x)
    for way, name in enumerate(("forward", "backward")):
        alone.directions[0].load_state_dict(both.directions[way].state_dict())
        expected, states = alone(x.flip(0) if way else x)
        found = output[..., way * where.hidden_size : (way + 1) * where.hidden_size]
        assert_close(found, expected.flip(0) if way else expected, f"{label(cell)}: {name} output")
        assert_all_close(
            [state[way] for state in listed(final)],
            [state[0] for state in listed(states)],
            f"{label(cell)}: {name} states",
        )


def check_carried_state(cell: Cell, layer: Layer) -> None:
    """A sequence in two pieces with carried state is the whole; no output sees what comes later."""
    where = layout(cell, num_layers=2) or needed_layout(cell)
    rnn = build(cell, layer, where)
    x = random(5, 2, where.input_size, seed=1)
    start = random_states(cell, where, 2)
    whole, end = rnn(x, give(start))
    first, middle = rnn(x[:2], give(start))
    second, last = rnn(x[2:], middle)
    assert_close(torch.cat([first, second]), whole, f"{label(cell)}: in two pieces: output")
    assert_all_close(listed(last), listed(end), f"{label(cell)}: in two pieces: states")
    zeros = give([torch.zeros_like(state) for state in start])
    assert_close(rnn(x)[0], rnn(x, zeros)[0], f"{label(cell)}: without hx it starts from zeros: output")


def check_rows(cell: Cell, layer: Layer) -> None:
    """Rows of a batch do not see each other, not even one that holds NaN."""
    where = largest_layout(cell)
    rnn = build(cell, layer, where)
    x = random(3, 3, where.input_size, seed=1)
    output, final = rnn(x)
    x[1, 1] = torch.nan
    spoiled, states = rnn(x)
    rows = [0, 2]
    assert_close(spoiled[:, rows], output[:, rows], f"{label(cell)}: rows beside one with NaN: output")
    assert_all_close(
        [state[:, rows] for state in listed(states)],
        [state[:, rows] for state in listed(final)],
        f"{label(cell)}: rows beside one with NaN: states",
    )
    order = [2, 0, 1]
    turned, states = rnn(x[:, order])
    assert_close(turned, spoiled[:, order], f"{label(cell)}: rows in another order: output")

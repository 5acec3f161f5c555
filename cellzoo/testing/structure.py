"""Checks on shapes, counts, the hash, and saving and loading."""

from __future__ import annotations

import copy
import io
import math
import random as stdlib_random
from typing import TYPE_CHECKING

import torch
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from cellzoo.cells.canonical import canonical_form
from cellzoo.cells.cell import Cell
from cellzoo.cells.graph import HIDDEN_WIDTH
from cellzoo.testing.disguise import disguised
from cellzoo.testing.subject import (
    HIDDEN_SIZE,
    LENGTHS,
    LayerSizes,
    assert_all_close,
    assert_close,
    build,
    give,
    label,
    largest_layout,
    layout,
    listed,
    random,
    random_states,
)

if TYPE_CHECKING:
    from torch import Tensor

    from cellzoo.testing import Layer

DISGUISES = 3


def check_shapes(cell: Cell, layer: Layer) -> None:
    """Every kind of input gives outputs and states of the kind, shape and dtype that torch.nn.LSTM gives."""
    where = largest_layout(cell)
    batch, steps = 2, 3
    states = random_states(cell, where, batch)
    for batch_first in (False, True):
        rnn = build(cell, layer, where, batch_first=batch_first)
        lead = (batch, steps) if batch_first else (steps, batch)
        padded = random(*lead, where.input_size, seed=1)
        for hx in (None, give(states)):
            output, final = rnn(padded, hx)
            _expect(cell, where, output, lead, final, (batch,), torch.float64)
        output, final = rnn(padded[0])
        _expect(cell, where, output, padded.shape[1:2], final, (), torch.float64)
    packed = pack_sequence([random(n, where.input_size, seed=n) for n in LENGTHS], enforce_sorted=False)
    output, final = rnn(packed)
    if not isinstance(output, PackedSequence):
        raise AssertionError(f"{label(cell)}: a PackedSequence gave {type(output).__name__}")
    for field in ("batch_sizes", "sorted_indices", "unsorted_indices"):
        found = getattr(output, field)
        if found is None or not torch.equal(found, getattr(packed, field)):
            raise AssertionError(f"{label(cell)}: a PackedSequence came back with other {field}")
    _expect(cell, where, output.data, (sum(LENGTHS),), final, (len(LENGTHS),), torch.float64)
    single = build(cell, layer, where, dtype=torch.float32)
    output, final = single(torch.ones(1, 1, where.input_size))
    _expect(cell, where, output, (1, 1), final, (1,), torch.float32)


def _expect(
    cell: Cell,
    where: LayerSizes,
    output: Tensor,
    lead: tuple[int, ...],
    final: Tensor | tuple[Tensor, ...],
    batch: tuple[int, ...],
    dtype: torch.dtype,
) -> None:
    if isinstance(final, tuple) != (len(cell.states) > 1):
        kind = type(final).__name__
        raise AssertionError(f"{label(cell)} has {len(cell.states)} state(s), but the final state is a {kind}")
    if len(listed(final)) != len(cell.states):
        raise AssertionError(f"{label(cell)} has {len(cell.states)} states, but {len(listed(final))} came back")
    width = where.hidden_size * (2 if where.bidirectional else 1)
    wanted = {"the output": (output, (*lead, width))}
    for state, tensor in zip(cell.states, listed(final), strict=True):
        size = where.hidden_size if state.width == HIDDEN_WIDTH else where.input_size
        wanted[f"state {state.name!r}"] = (tensor, (where.runs, *batch, size))
    for what, (tensor, shape) in wanted.items():
        if tuple(tensor.shape) != shape or tensor.dtype != dtype:
            found = f"shape {tuple(tensor.shape)}, {tensor.dtype}"
            raise AssertionError(f"{label(cell)}: {what} has {found}; expected {shape}, {dtype}")
        if not tensor.isfinite().all():
            raise AssertionError(f"{label(cell)}: {what} is not finite on normal input")


def check_counts(cell: Cell, layer: Layer) -> None:
    """Parameters counted from the graph are those that the layer has, with and without biases."""
    found = [
        layout(cell, num_layers, bidirectional=num_layers == 2, hidden_size=hidden_size)
        for hidden_size in (1, HIDDEN_SIZE)
        for num_layers in (1, 2)
    ]
    for where in filter(None, found):
        for bias in (True, False):
            built = sum(parameter.numel() for parameter in build(cell, layer, where, bias=bias).parameters())
            counted = _count(cell, where, bias)
            if counted != built:
                raise AssertionError(
                    f"{label(cell)}: {counted} parameters counted, {built} built at {where}, bias {bias}"
                )


def _count(cell: Cell, where: LayerSizes, bias: bool) -> int:
    """Count from the graph over all layers, and check that FLOPs cover each matrix."""
    ways = 2 if where.bidirectional else 1
    total = 0
    for input_size in [where.input_size, *[where.hidden_size * ways] * (where.num_layers - 1)]:
        shapes = cell.parameter_shapes(input_size=input_size, hidden_size=where.hidden_size, bias=bias)
        flops = cell.flops(input_size=input_size, hidden_size=where.hidden_size, bias=bias)
        least = sum(2 * math.prod(shape) for shape in shapes.values() if len(shape) == 2)
        if flops < least:
            raise AssertionError(f"{label(cell)}: {flops} FLOPs, but its matrices alone take {least}")
        total += cell.num_parameters(input_size=input_size, hidden_size=where.hidden_size, bias=bias)
    return ways * total


def check_hash(cell: Cell, layer: Layer) -> None:
    """Names and listing order change neither the hash nor what the cell computes."""
    generator = stdlib_random.Random(5)  # noqa: S311 - a reproducible draw, no secret
    where = largest_layout(cell)
    rnn = build(cell, layer, where)
    x = random(3, 2, where.input_size, seed=2)
    output, final = rnn(x)
    if canonical_form(cell).hash != cell.hash:
        raise AssertionError(f"{label(cell)}: its canonical form has another hash")
    for turn in range(DISGUISES):
        other, names = disguised(cell, generator)
        if other.hash != cell.hash:
            raise AssertionError(f"{label(cell)}: renaming and reordering changed the hash")
        if turn:
            continue
        twin = build(other, layer, where, seed=8)
        with torch.no_grad():
            for index in range(where.runs):
                theirs = twin.direction(index).weights
                for name, value in rnn.direction(index).weights.items():
                    theirs[names[name]].copy_(value)
        output_of_twin, final_of_twin = twin(x)
        assert_close(output_of_twin, output, f"{label(cell)}, renamed and reordered: output")
        assert_all_close(listed(final_of_twin), listed(final), f"{label(cell)}, renamed and reordered: states")


def check_save_and_load(cell: Cell, layer: Layer) -> None:
    """JSON, state_dict, deepcopy and torch.save keep the outputs to the last bit."""
    where = largest_layout(cell)
    rnn = build(cell, layer, where)
    read = Cell.from_json(cell.to_json())
    if (read.hash, read.name) != (cell.hash, cell.name):
        raise AssertionError(f"{label(cell)}: JSON gave another cell")
    from_json = build(read, layer, where, seed=8)
    from_json.load_state_dict(rnn.state_dict())
    buffer = io.BytesIO()
    torch.save(rnn, buffer)
    buffer.seek(0)
    x = random(3, 2, where.input_size, seed=4)
    expected, final = rnn(x)
    for how, other in (
        ("JSON and state_dict", from_json),
        ("deepcopy", copy.deepcopy(rnn)),
        ("torch.save", torch.load(buffer, weights_only=False)),
    ):
        output, states = other(x)
        assert_close(output, expected, f"{label(cell)}, after {how}: output", 0.0)
        assert_all_close(listed(states), listed(final), f"{label(cell)}, after {how}: states", 0.0)

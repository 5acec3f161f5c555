"""Check: every engine agrees with the reference."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch.nn.utils.rnn import pack_sequence

from cellzoo.layer import CellRNN
from cellzoo.runtime import RUNTIMES
from cellzoo.runtime.native.binding import is_available
from cellzoo.runtime.recurrence import can_scan
from cellzoo.testing.subject import (
    LENGTHS,
    assert_all_close,
    build,
    give,
    label,
    largest_layout,
    listed,
    random,
    random_states,
)

if TYPE_CHECKING:
    from torch import Tensor

    from cellzoo.cells.cell import Cell
    from cellzoo.testing import Layer
    from cellzoo.testing.subject import LayerSizes

NATIVE, REFERENCE, SCAN = "native", "reference", "scan"
TOLERANCES = {torch.float64: 1e-12, torch.float32: 1e-5}


def check_runtimes(cell: Cell, layer: Layer) -> None:
    """Every engine gives the reference's outputs, states and gradients, with masks, in both precisions.

    Looks at the engines of `cellzoo.runtime.RUNTIMES` that are available, `auto` among them. The truth for both
    precisions is the reference in float64; errors count relative to the largest number of a tensor.
    """
    left_out = {REFERENCE}
    if not is_available():
        left_out.add(NATIVE)
    if not can_scan(cell):  # the engine `scan` would fall back to `torch`
        left_out.add(SCAN)
    names = [name for name in RUNTIMES if name not in left_out]
    candidates = {name: partial(layer, runtime=name) for name in names}
    if layer is not CellRNN:
        candidates["of the layer"] = partial(layer)
    where = largest_layout(cell)
    expected = _results(cell, partial(CellRNN, runtime=REFERENCE), where, torch.float64)
    for dtype, tolerance in TOLERANCES.items():
        for name, candidate in candidates.items():
            found = _results(cell, candidate, where, dtype)
            for what, tensors in found.items():
                message = f"{label(cell)}: engine {name} against the reference, {dtype}: {what}"
                scales = [max(1.0, tensor.abs().max().item()) for tensor in expected[what]]
                assert_all_close(
                    [tensor.double() / scale for tensor, scale in zip(tensors, scales, strict=True)],
                    [tensor / scale for tensor, scale in zip(expected[what], scales, strict=True)],
                    message,
                    tolerance,
                )


def _results(cell: Cell, layer: Layer, where: LayerSizes, dtype: torch.dtype) -> dict[str, list[Tensor]]:
    """Outputs, final states and gradients on a packed batch, masked with the same draw for every engine."""
    rnn = build(cell, layer, where, dropout_x=0.3, dropout_h=0.4).to(dtype)
    parts = [random(length, where.input_size, seed=index).to(dtype) for index, length in enumerate(LENGTHS)]
    packed = pack_sequence(parts, enforce_sorted=False)
    packed.data.requires_grad_()
    states = [state.to(dtype).requires_grad_() for state in random_states(cell, where, len(parts))]
    kept = torch.get_rng_state()
    try:
        torch.manual_seed(9)
        output, final = rnn(packed, give(states))
    finally:
        torch.set_rng_state(kept)
    values = [output.data, *listed(final)]
    flat = torch.cat([value.flatten() for value in values])
    loss = (flat * torch.cos(torch.arange(flat.numel()))).sum()
    sources = [packed.data, *states, *rnn.parameters()]
    gradients = torch.autograd.grad(loss, sources, allow_unused=True, materialize_grads=True)
    return {"outputs and states": [value.detach() for value in values], "gradients": list(gradients)}

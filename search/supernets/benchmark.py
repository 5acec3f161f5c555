"""The benchmark `supernet` of `cellzoo bench`: search steps of DARTS, as in its code and with our engines."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cellzoo.bench.case import LOOP, Case, Shape
from cellzoo.cells.ops import PRIMITIVES
from cellzoo.errors import CellzooError
from cellzoo.notations.steps.graph import NONE
from search.supernets.flops import products
from search.supernets.layout import CELL, Layout
from search.supernets.normalisation import SharedStatistics
from search.supernets.prepare import prepare
from search.supernets.runtime import SupernetCall

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cellzoo.bench.case import Pass

_LAYOUT = Layout()
# rnn/train_search.py of quark0/darts has dropout of a quarter on x and h.
_DROPOUT = 0.25


def cases(shape: Shape, dtype: str, engines: Sequence[str]) -> list[Case]:
    """Make both kinds of search step of the supernet with eight nodes, 36 edges, batch normalisation and masks.

    One computes all gradients, the other only that of the architecture.

    Raises:
        CellzooError: The shape is packed.
    """
    if shape.packed:
        raise CellzooError(
            f"shape {shape}: the benchmark supernet runs padded sequences, as the code of DARTS does"
        )
    forward = shape.tokens * sum(products(_LAYOUT, _LAYOUT.num_edges, shape.input_size, shape.hidden_size))
    return [
        Case(
            title=f"supernet of DARTS, shape {shape}, {kind}, {dtype}",
            shape=shape,
            # Of the products: forward, gradients of the states, and gradients of the weights if needed.
            flops=dict.fromkeys((LOOP, *engines), forward * (2 if shares_alone else 3)),
            engines=engines,
            build=partial(build, shares_alone=shares_alone, dtype=dtype),
            description={
                "supernet": "darts",
                "shape": asdict(shape),
                "pass": "shares" if shares_alone else "training",
                "dtype": dtype,
                "loop": "as in the DARTS code",
            },
        )
        for shares_alone, kind in ((False, "all gradients"), (True, "architecture step"))
    ]


def build(name: str, shape: Shape, *, shares_alone: bool, dtype: str) -> Pass:
    """Build a candidate; all have the same weights, inputs and masks.

    Args:
        name: The candidate.
        shape: The sizes.
        shares_alone: Whether only the gradient of the architecture is computed.
        dtype: Name of a dtype.
    """
    number = getattr(torch, dtype)
    generator = torch.Generator().manual_seed(0)

    def draw(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, dtype=torch.float64).to(number)

    weights = {
        key: (draw(*size) * size[-2] ** -0.5).requires_grad_(not shares_alone)
        for key, size in _LAYOUT.weight_shapes(shape.input_size, shape.hidden_size).items()
    }
    alphas = draw(_LAYOUT.num_edges, len(_LAYOUT.operations)).requires_grad_()
    inputs = draw(shape.tokens, shape.input_size)
    state = torch.zeros(shape.batch, shape.hidden_size, dtype=number)
    masks = [
        (torch.rand(shape.batch, width, generator=generator) > _DROPOUT).to(number) / (1 - _DROPOUT)
        for width in (shape.input_size, shape.hidden_size)
    ]
    gradient = draw(shape.tokens, shape.hidden_size)
    statistics = SharedStatistics(shape.hidden_size, dtype=number)
    engine: Callable[[SupernetCall], tuple[Tensor, tuple[Tensor, ...]]] = (
        _darts_loop if name == LOOP else prepare(name, _LAYOUT)
    )
    sources = [alphas] if shares_alone else [alphas, *weights.values()]

    def run() -> list[Tensor]:
        output, _ = engine(
            SupernetCall(
                inputs,
                shape.batch_sizes,
                [state],
                weights,
                {CELL: alphas.softmax(-1)},
                statistics,
                mask_x=masks[0],
                mask_h=masks[1],
            )
        )
        gradients = torch.autograd.grad(output, sources, gradient)
        return [output.detach(), gradients[0]]

    return run


def _darts_loop(call: SupernetCall) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The operations of rnn/model_search.py of quark0/darts, in the same order."""
    h, shares, weights = call.states[0], call.mixtures[CELL], call.weights
    mask_x, mask_h, statistics = call.mask_x, call.mask_h, call.statistics
    assert mask_x is not None and mask_h is not None and statistics is not None  # noqa: S101, PT018 - as built
    first = torch.cat([weights["w0_x"], weights["w0_h"]])  # (E + H, 2 H)
    outputs = []
    for x in call.inputs.split(list(call.batch_sizes)):
        c, u = torch.cat([x * mask_x, h * mask_h], dim=1).mm(first).chunk(2, dim=1)
        known = statistics(h + c.sigmoid() * (u.tanh() - h)).unsqueeze(0)  # (1, B, H)
        for node in range(1, _LAYOUT.nodes + 1):
            products = (known * mask_h).view(-1, h.size(1)).mm(weights[f"w{node}"]).view(node, h.size(0), -1)
            c, u = products.chunk(2, dim=-1)
            gate = c.sigmoid()
            total = torch.zeros_like(h)
            rows = _LAYOUT.rows(node)
            for column, op in enumerate(_LAYOUT.operations):
                if op == NONE:
                    continue
                forward = PRIMITIVES[op].forward
                assert forward is not None  # noqa: S101 - an activation
                mixed = known + gate * (forward(u) - known)  # (node, B, H)
                total = total + (shares[rows.start : rows.stop, column, None, None] * mixed).sum(0)
            known = torch.cat([known, statistics(total).unsqueeze(0)])
        h = known[1:].mean(0)
        outputs.append(h)
    return torch.cat(outputs), (h,)

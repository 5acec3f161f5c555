"""The benchmark `supernet` of `cellzoo bench`: search steps of DARTS, by its code's loop and by our engines."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from cellzoo.bench.candidate import Candidate
from cellzoo.bench.shapes import Shape
from cellzoo.cells.ops import PRIMITIVES
from cellzoo.notations.steps.graph import NONE
from cellzoo.runtime import RUNTIMES
from search.supernets.layout import CELL, Layout
from search.supernets.normalisation import SharedStatistics
from search.supernets.prepare import prepare

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LOOP = "loop"
_LAYOUT = Layout()
# rnn/train_search.py of quark0/darts has dropout of a quarter on x and h.
_DROPOUT = 0.25


@dataclass(frozen=True)
class SupernetCase:
    """One pass forward and backward of the supernet with eight nodes, 36 edges, batch normalisation and masks.

    Attributes:
        shape: The sizes.
        shares_alone: Whether only the architecture's gradient is taken, as in a step of the architecture.
        dtype: A name of torch's.
    """

    shape: Shape
    shares_alone: bool
    dtype: str

    @property
    def flops(self) -> int:
        """Of the products: forward, back to the states, and for the weights where they are wanted."""
        shape = self.shape
        hidden, out = shape.hidden_size, 2 * shape.hidden_size
        forward = 2 * shape.tokens * out * (shape.input_size + hidden + _LAYOUT.num_edges * hidden)
        return forward * (2 if self.shares_alone else 3)

    def __str__(self) -> str:
        kind = "architecture step" if self.shares_alone else "all gradients"
        return f"supernet of DARTS, shape {self.shape}, {kind}, {self.dtype}"

    def candidates(self, engines: Sequence[str]) -> list[str]:
        """The loop, and those of the engines that supernets have."""
        return [LOOP, *(name for name in engines if name in RUNTIMES)]

    def build(self, name: str, clock: Callable[[], float]) -> Candidate:
        """Build a candidate; all have the same weights, inputs and masks."""
        generator = torch.Generator().manual_seed(0)
        shape, dtype = self.shape, getattr(torch, self.dtype)

        def draw(*size: int) -> Tensor:
            return torch.randn(*size, generator=generator, dtype=torch.float64).to(dtype)

        weights = {
            key: (draw(*size) * size[-2] ** -0.5).requires_grad_(not self.shares_alone)
            for key, size in _LAYOUT.weight_shapes(shape.input_size, shape.hidden_size).items()
        }
        alphas = draw(_LAYOUT.num_edges, len(_LAYOUT.operations)).requires_grad_()
        inputs = draw(shape.tokens, shape.input_size)
        state = torch.zeros(shape.batch, shape.hidden_size, dtype=dtype)
        masks = [
            (torch.rand(shape.batch, width, generator=generator) > _DROPOUT).to(dtype) / (1 - _DROPOUT)
            for width in (shape.input_size, shape.hidden_size)
        ]
        gradient = draw(shape.tokens, shape.hidden_size)
        statistics = SharedStatistics(shape.hidden_size, dtype=dtype)
        engine = _darts_loop if name == LOOP else prepare(name, _LAYOUT)
        sources = [alphas] if self.shares_alone else [alphas, *weights.values()]

        def run() -> list[Tensor]:
            output, _ = engine(
                inputs,
                [shape.batch] * shape.steps,
                [state],
                weights,
                {CELL: alphas.softmax(-1)},
                statistics,
                mask_x=masks[0],
                mask_h=masks[1],
            )
            gradients = torch.autograd.grad(output, sources, gradient)
            return [output.detach(), gradients[0]]

        return Candidate(name, self.flops, run)

    def describe(self) -> dict[str, Any]:
        """Say what it is."""
        return {
            "supernet": "darts",
            "shape": asdict(self.shape),
            "pass": "shares" if self.shares_alone else "training",
            "dtype": self.dtype,
        }

    def recipe(self) -> tuple[str, dict[str, Any]]:
        """What builds it again."""
        return "search.supernets.benchmark:rebuild_case", asdict(self)

    def tiny(self) -> SupernetCase:
        """The same at tiny sizes."""
        return replace(self, shape=Shape("tiny", 2, 2, 8, 8))


def rebuild_case(shape: dict[str, Any], *, shares_alone: bool, dtype: str) -> SupernetCase:
    """Build the case that `SupernetCase.recipe` describes."""
    return SupernetCase(Shape(**shape), shares_alone, dtype)


def cases(shape: Shape, dtype: str) -> list[SupernetCase]:
    """What is timed at one shape: both kinds of step."""
    return [SupernetCase(shape, shares_alone, dtype) for shares_alone in (False, True)]


def _darts_loop(
    inputs: Tensor,
    batch_sizes: Sequence[int],
    states: Sequence[Tensor],
    weights: dict[str, Tensor],
    mixtures: dict[str, Tensor],
    statistics: SharedStatistics,
    *,
    mask_x: Tensor,
    mask_h: Tensor,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The operations of rnn/model_search.py of quark0/darts, one after another, as it has them."""
    h, shares = states[0], mixtures[CELL]
    first = torch.cat([weights["w0_x"], weights["w0_h"]])  # (E + H, 2 H)
    outputs = []
    for x in inputs.split(list(batch_sizes)):
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

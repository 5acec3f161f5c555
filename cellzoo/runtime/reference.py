"""The reference engine, which defines what a Cell computes: an interpreter of its nodes.

It consists of plain differentiable torch operations, for any device and dtype, so double backward works. Every
other engine is tested against this one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from cellzoo.cells.graph import HIDDEN_WIDTH, INPUT, INPUT_WIDTH, Node
from cellzoo.cells.ops import CONSTANT, LINEAR, PRIMITIVES
from cellzoo.runtime.interface import Engine
from cellzoo.runtime.steps import walk

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cellzoo.cells.cell import Cell


@dataclass(frozen=True)
class _Product:
    """Linear nodes of one width with the same inputs, computed by one matrix product."""

    inputs: tuple[str, ...]
    nodes: tuple[Node, ...]


@dataclass(frozen=True)
class _Weights:
    """The weights of a product, concatenated over its nodes and its inputs."""

    matrix: Tensor  # (K * width, sum of input widths)
    bias: Tensor | None  # (K * width,)


class ReferenceRuntime:
    """Interprets a cell, step by step. See `cellzoo.runtime.Runtime` for the call."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.program = _group_products(cell)
        self.hidden_state = next(state.name for state in cell.states if state.width == HIDDEN_WIDTH)

    def __call__(
        self,
        inputs: Tensor,
        batch_sizes: Sequence[int],
        states: Sequence[Tensor],
        weights: Mapping[str, Tensor],
        *,
        reverse: bool = False,
        mask_x: Tensor | None = None,
        mask_h: Tensor | None = None,
        kept: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run the cell as `cellzoo.runtime.Runtime` says.

        Args:
            inputs: See there, as for all but `kept`.
            batch_sizes: See there.
            states: See there.
            weights: See there.
            reverse: See there.
            mask_x: See there.
            mask_h: See there.
            kept: (N,), False for rows to skip; requires B rows at every step. Skipped rows keep their states
                and repeat the output of the previous step, or zeros.
        """
        stacked = [_stack(item, weights) if isinstance(item, _Product) else None for item in self.program]
        last: Tensor | None = None

        def step(
            t: int, x: Tensor, states: Sequence[Tensor], mask_x: Tensor | None, mask_h: Tensor | None
        ) -> tuple[Tensor, list[Tensor]]:
            nonlocal last
            output, after = self._step(x, states, stacked, weights, mask_x, mask_h)
            if kept is not None:
                rows = x.size(0)
                keep = kept[t * rows : (t + 1) * rows].unsqueeze(1)  # (B, 1)
                after = [torch.where(keep, new, old) for new, old in zip(after, states, strict=True)]
                output = torch.where(keep, output, torch.zeros_like(output) if last is None else last)
                last = output
            return output, after

        return walk(step, inputs, batch_sizes, states, reverse=reverse, mask_x=mask_x, mask_h=mask_h)

    def _step(
        self,
        x: Tensor,  # (b, E)
        states: Sequence[Tensor],  # each (b, H), delayed inputs (b, E)
        stacked: Sequence[_Weights | None],
        parameters: Mapping[str, Tensor],
        mask_x: Tensor | None,
        mask_h: Tensor | None,
    ) -> tuple[Tensor, list[Tensor]]:
        values = {INPUT: x}
        values.update(zip((state.name for state in self.cell.states), states, strict=True))
        masks = {INPUT_WIDTH: mask_x, HIDDEN_WIDTH: mask_h}
        for item, weights in zip(self.program, stacked, strict=True):
            if isinstance(item, _Product):
                assert weights is not None  # noqa: S101 - made for every product
                factors = [
                    _masked(values[source], masks.get(self.cell.widths[source])) for source in item.inputs
                ]
                joined = torch.cat(factors, dim=1) if len(factors) > 1 else factors[0]  # (b, sum of widths)
                results = F.linear(joined, weights.matrix, weights.bias).chunk(len(item.nodes), dim=1)
                values.update(zip((node.name for node in item.nodes), results, strict=True))
            elif item.op == LINEAR:
                factors = [_masked(values[name], masks.get(self.cell.widths[name])) for name in item.inputs]
                values[item.name] = _by_heads(item, factors, parameters)
            else:
                values[item.name] = self._elementwise(item, values, parameters)
        return values[self.cell.output], [values[state.next] for state in self.cell.states]

    def _elementwise(
        self, node: Node, values: Mapping[str, Tensor], parameters: Mapping[str, Tensor]
    ) -> Tensor:
        primitive = PRIMITIVES[node.op]
        if primitive.forward is not None:
            return primitive.forward(*(values[source] for source in node.inputs))
        like = values[INPUT if node.width == INPUT_WIDTH else self.hidden_state]  # (b, E) or (b, H)
        if node.width.isdecimal():
            like = like.new_empty(like.size(0), int(node.width))
        if node.op == CONSTANT:
            assert node.value is not None  # noqa: S101 - checked with the graph
            return torch.full_like(like, node.value)
        if primitive.constant is not None:
            return torch.full_like(like, primitive.constant)
        return parameters[node.weights[0]].expand_as(like)


def _group_products(cell: Cell) -> list[_Product | Node]:
    """List the live nodes in order, with linear nodes of the same inputs grouped at the first of them.

    Nodes with several heads are not grouped.
    """

    def key(node: Node) -> tuple[tuple[str, ...], bool, str]:
        return node.inputs, node.bias is not None, node.width

    groups: dict[tuple[tuple[str, ...], bool, str], list[Node]] = {}
    for node in cell.live_nodes:
        if node.op == LINEAR and node.heads == 1:
            groups.setdefault(key(node), []).append(node)
    program: list[_Product | Node] = []
    for node in cell.live_nodes:
        if node.op != LINEAR or node.heads > 1:
            program.append(node)
        elif (group := groups.pop(key(node), None)) is not None:
            program.append(_Product(node.inputs, tuple(group)))
    return program


def _stack(product: _Product, weights: Mapping[str, Tensor]) -> _Weights:
    rows = [torch.cat([weights[name] for name in node.weights], dim=1) for node in product.nodes]
    biases = [weights[node.bias] for node in product.nodes if node.bias is not None and node.bias in weights]
    return _Weights(torch.cat(rows), torch.cat(biases) if biases else None)


def _by_heads(node: Node, factors: Sequence[Tensor], weights: Mapping[str, Tensor]) -> Tensor:
    """A block-diagonal product: each block of units reads its own part of every input."""
    blocks: Tensor | None = None
    for factor, name in zip(factors, node.weights, strict=True):
        parts = factor.unflatten(1, (node.heads, -1))  # (b, heads, width of the input / heads)
        matrices = weights[name].unflatten(
            0, (node.heads, -1)
        )  # (heads, width / heads, width of input / heads)
        product = torch.einsum("bhi,hoi->bho", parts, matrices)
        blocks = product if blocks is None else blocks + product
    assert blocks is not None  # noqa: S101 - a linear node has an input
    total = blocks.flatten(1)  # (b, width)
    return total if node.bias is None or node.bias not in weights else total + weights[node.bias]


def _masked(value: Tensor, mask: Tensor | None) -> Tensor:
    return value if mask is None else value * mask


ENGINE = Engine(ReferenceRuntime, None)

"""The reference implementation of a supernet, in differentiable torch operations.

Liu et al. 2019, "DARTS", section 2.2 and appendix A.1, with details from rnn/model_search.py of quark0/darts:

    s_0 = N(highway(h; [x, h] W_0, tanh))
    s_i = N(sum over the edges j < i and operations k of  p_jk highway(s_j; s_j W_i, f_k))
    h'  = mean of s_1, ..., s_n

    highway(s; [c, u], f) = s + sigmoid(c) * (f(u) - s)        without highway: f(u)

where p is the mixture, N the normalisation, and `none` adds nothing. Masks are applied to the values in matrix
products, but not to the state that a highway carries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cellzoo.cells.ops import PRIMITIVES
from cellzoo.notations.steps.graph import NONE
from cellzoo.runtime.steps import walk
from search.supernets.gates import History, gate
from search.supernets.layout import CELL, PAST_INPUTS, PAST_STATES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from search.supernets.layout import Layout
    from search.supernets.normalisation import SharedStatistics
    from search.supernets.runtime import SupernetCall


@dataclass(frozen=True)
class _Node:
    """The part of a node that is computed in a call: that with nonzero shares.

    Attributes:
        sources: Indices of the states that it reads.
        operations: Names of the operations on them.
        weight: W_i of those sources and operations.
        shares: p, (sources, operations).
    """

    sources: list[int]
    operations: list[str]
    weight: Tensor
    shares: Tensor


class ReferenceSupernet:
    """Steps through a sequence; a `search.supernets.runtime.SupernetRuntime`."""

    ran = ("reference",)

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def __call__(self, call: SupernetCall) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run the supernet, see `SupernetRuntime`."""
        nodes = self._nodes(call.weights, call.mixtures[CELL])

        def step(
            _: int, x: Tensor, states: Sequence[Tensor], mask_x: Tensor | None, mask_h: Tensor | None
        ) -> tuple[Tensor, list[Tensor]]:
            return self._step(call, nodes, x, states, mask_x, mask_h)

        return walk(
            step,
            call.inputs,
            call.batch_sizes,
            call.states,
            reverse=call.reverse,
            mask_x=call.mask_x,
            mask_h=call.mask_h,
        )

    def _nodes(self, weights: Mapping[str, Tensor], mixture: Tensor) -> list[_Node]:
        """Everything if the mixture needs a gradient; otherwise only sources and operations with a share."""
        columns = [index for index, op in enumerate(self.layout.operations) if op != NONE]
        nodes = []
        for node in range(1, self.layout.nodes + 1):
            rows = self.layout.rows(node)
            shares = mixture[rows.start : rows.stop][:, columns]  # (node, K)
            sources, used = list(range(node)), list(range(len(columns)))
            if not mixture.requires_grad:
                sources = [row for row in sources if bool(shares[row].any())]
                used = [column for column in used if bool(shares[:, column].any())]
            weight = weights[f"w{node}"]
            if self.layout.sharing != "target" and len(sources) < node:
                weight = weight[sources]
            if self.layout.sharing == "operation" and len(used) < len(columns):
                weight = weight[:, used]
            operations = [self.layout.operations[columns[column]] for column in used]
            nodes.append(_Node(sources, operations, weight, shares[sources][:, used]))
        return nodes

    def _step(
        self,
        call: SupernetCall,
        nodes: Sequence[_Node],
        x: Tensor,  # (b, E)
        states: Sequence[Tensor],
        mask_x: Tensor | None,
        mask_h: Tensor | None,
    ) -> tuple[Tensor, list[Tensor]]:
        if not self.layout.delay:
            output = self._cell(call, nodes, x, states[0], mask_x, mask_h)
            return output, [output]
        past, weights, mixtures = History.of(states), call.weights, call.mixtures
        on_h = gate(
            self.layout, PAST_INPUTS, past.inputs, past.seen, weights, mixtures[PAST_INPUTS], mask_x
        )  # (b, H)
        on_x = gate(
            self.layout, PAST_STATES, past.hidden, past.seen, weights, mixtures[PAST_STATES], mask_h
        )  # (b, E)
        output = self._cell(call, nodes, x * on_x, states[0] * on_h, mask_x, mask_h)
        return output, past.after(x, output)

    def _cell(
        self,
        call: SupernetCall,
        nodes: Sequence[_Node],
        x: Tensor,
        h: Tensor,
        mask_x: Tensor | None,
        mask_h: Tensor | None,
    ) -> Tensor:
        product = _masked(x, mask_x) @ call.weights["w0_x"] + _masked(h, mask_h) @ call.weights["w0_h"]
        if self.layout.highway:
            c, u = product.chunk(2, dim=-1)
            start = h + c.sigmoid() * (u.tanh() - h)  # (b, H)
        else:
            start = product.tanh()
        states = [_normalised(start, call.statistics)]
        for node in nodes:
            if node.sources:
                carried = torch.stack([states[source] for source in node.sources])  # (J, b, H)
                states.append(_normalised(self._joined(node, carried, mask_h), call.statistics))
            else:
                states.append(torch.zeros_like(start))
        return torch.stack(states[1:]).mean(0)

    def _joined(self, node: _Node, carried: Tensor, mask_h: Tensor | None) -> Tensor:
        masked = _masked(carried, mask_h)
        if self.layout.sharing == "operation":
            products = masked.unsqueeze(1) @ node.weight  # (J, K, b, 2 H), or H without highway
            total = torch.zeros_like(carried[0])
            for index, op in enumerate(node.operations):
                share = node.shares[:, index : index + 1]  # (J, 1)
                total = total + self._mixed([op], share, products[:, index], carried)
            return total
        return self._mixed(node.operations, node.shares, masked @ node.weight, carried)

    def _mixed(self, operations: Sequence[str], shares: Tensor, product: Tensor, carried: Tensor) -> Tensor:
        """Mix operations that have the same product (J, b, 2 H), or (J, b, H) without highway."""
        gated = product.chunk(2, dim=-1) if self.layout.highway else (None, product)
        c, u = gated
        shares = shares[..., None, None]  # (J, K, 1, 1)
        value = torch.zeros_like(u)
        for index, op in enumerate(operations):
            forward = PRIMITIVES[op].forward
            assert forward is not None  # noqa: S101 - an activation
            value = value + shares[:, index] * forward(u)
        if c is None:
            return value.sum(0)
        # The sum over k of p_k (s + g (f_k - s)), with the gate g factored out.
        passed = shares.sum(1) * carried
        return (passed + c.sigmoid() * (value - passed)).sum(0)  # (b, H)


def _masked(value: Tensor, mask: Tensor | None) -> Tensor:
    return value if mask is None else value * mask


def _normalised(state: Tensor, statistics: SharedStatistics | None) -> Tensor:
    return state if statistics is None else statistics(state)

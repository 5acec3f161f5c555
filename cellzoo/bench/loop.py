"""Cells as a plain Python loop over time steps, in which every operation is a call of torch.

Cells that can be written as a DARTS genotype run as in the DARTS code (`DARTSCell` of rnn/model.py in
quark0/darts), operation by operation and without dropout: x and h are concatenated for one product, which is
split into two halves; then for each node one product, split into two halves, a sigmoid, an activation, and s +
c (f - s); at the end `mean(stack(...))`.

Any other cell runs node by node: a linear node is one product for each of its inputs, added up, as in
`MultiLinear` of multilinear.py in NAS-Bench-NLP's code; everything else is one operation.

Outputs of the steps are stacked. Initial states are zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from cellzoo.cells.graph import INPUT
from cellzoo.cells.ops import LINEAR, PRIMITIVES
from cellzoo.errors import NotationError
from cellzoo.notations import darts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cellzoo.cells.cell import Cell
    from cellzoo.cells.graph import Node


def darts_genotype(cell: Cell) -> darts.Genotype | None:
    """The genotype of a cell if the DARTS code can run it, else None: it needs highways and has no `none`."""
    try:
        genotype = darts.read_genotype(darts.write(cell))
    except NotationError:
        return None
    return genotype if genotype.highway and genotype.none == darts.REFUSE else None


class DartsLoop:
    """The loop of the DARTS code.

    Args:
        genotype: A genotype with highways and without `none`.
        named_weights: The weights of `darts.parse(genotype)`, such as `c0_x` (H, E) and `u3_s1` (H, H). They
            are copied into the layout of the DARTS code: W_0 (E + H, 2 H) and W_i (H, 2 H), the gate first.
    """

    def __init__(self, genotype: darts.Genotype, named_weights: Mapping[str, Tensor]) -> None:
        sources = [("x", "h"), *((f"s{predecessor}",) for _, predecessor in genotype.recurrent)]
        self.weights = [
            torch.cat(
                [
                    torch.cat([named_weights[f"{kind}{index}_{source}"].detach().T for source in names])
                    for kind in ("c", "u")
                ],
                dim=1,
            )
            .contiguous()
            .requires_grad_()
            for index, names in enumerate(sources)
        ]
        self.nodes = [(PRIMITIVES[op].forward, predecessor) for op, predecessor in genotype.recurrent]
        self.concat = genotype.concat
        self.hidden_size = self.weights[0].size(1) // 2

    def __call__(self, x: Tensor) -> Tensor:
        """Run over x (T, B, E)."""
        h = x.new_zeros(x.size(1), self.hidden_size)
        outputs = []
        for step in range(x.size(0)):
            h = self._step(x[step], h)
            outputs.append(h)
        return torch.stack(outputs)

    def _step(self, x: Tensor, h: Tensor) -> Tensor:
        c, u = torch.split(torch.cat([x, h], dim=-1).mm(self.weights[0]), self.hidden_size, dim=-1)
        states = [h + c.sigmoid() * (u.tanh() - h)]
        for weight, (activation, predecessor) in zip(self.weights[1:], self.nodes, strict=True):
            assert activation is not None  # noqa: S101 - every operation of a genotype has one
            previous = states[predecessor]
            c, u = torch.split(previous.mm(weight), self.hidden_size, dim=-1)
            states.append(previous + c.sigmoid() * (activation(u) - previous))
        return torch.mean(torch.stack([states[index] for index in self.concat], -1), -1)


class NodeLoop:
    """Any cell, node by node.

    Args:
        cell: The cell.
        named_weights: Its weights, as in `Cell.parameter_shapes`; they are copied.
        input_size: E.
        hidden_size: H.
    """

    def __init__(
        self, cell: Cell, named_weights: Mapping[str, Tensor], *, input_size: int, hidden_size: int
    ) -> None:
        self.cell = cell
        self.sizes = cell.sizes(input_size=input_size, hidden_size=hidden_size)
        self.named = {name: weight.detach().clone().requires_grad_() for name, weight in named_weights.items()}
        self.weights = list(self.named.values())

    def __call__(self, x: Tensor) -> Tensor:
        """Run over x (T, B, E)."""
        names = [state.name for state in self.cell.states]
        states = [x.new_zeros(x.size(1), self.sizes[name]) for name in names]
        outputs = []
        for step in range(x.size(0)):
            values = {INPUT: x[step], **dict(zip(names, states, strict=True))}
            for node in self.cell.live_nodes:
                values[node.name] = self._node(node, values)
            states = [values[state.next] for state in self.cell.states]
            outputs.append(values[self.cell.output])
        return torch.stack(outputs)

    def _node(self, node: Node, values: Mapping[str, Tensor]) -> Tensor:
        primitive = PRIMITIVES[node.op]
        if node.op == LINEAR:
            bias = None if node.bias is None else self.named[node.bias]
            matrices = [
                self.named[name] if node.heads == 1 else torch.block_diag(*self.named[name].chunk(node.heads))
                for name in node.weights
            ]
            total = F.linear(values[node.inputs[0]], matrices[0], bias)
            for source, matrix in zip(node.inputs[1:], matrices[1:], strict=True):
                total = total + F.linear(values[source], matrix)
            return total
        if primitive.forward is not None:
            return primitive.forward(*(values[source] for source in node.inputs))
        x = values[INPUT]
        constant = primitive.constant if node.value is None else node.value
        if constant is not None:
            return x.new_full((x.size(0), self.sizes[node.name]), constant)
        return self.named[node.weights[0]].expand(x.size(0), self.sizes[node.name])


LoopRNN = DartsLoop | NodeLoop


def build_loop(
    cell: Cell, named_weights: Mapping[str, Tensor], *, input_size: int, hidden_size: int
) -> LoopRNN:
    """Build the loop of a cell: as in the DARTS code if it has a genotype, otherwise node by node.

    A cell with a genotype must be the result of `darts.parse`, so that the names of its weights are known.
    """
    genotype = darts_genotype(cell)
    if genotype is not None:
        return DartsLoop(genotype, named_weights)
    return NodeLoop(cell, named_weights, input_size=input_size, hidden_size=hidden_size)

"""Continuous relaxations: from architecture parameters to the share of each operation on each edge.

A relaxation is the only part of a supernet that depends on the search method.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor, nn

from search.supernets.layout import CELL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from search.supernets.layout import Layout
    from tasks.problem import LayerSpec

INITIAL_SCALE = 1e-3

Distributions: TypeAlias = dict[str, list[Tensor]]
"""Group -> categorical distributions, each (K,), detached. The groups are `cell`, or `cell`, `past_inputs` and
`past_states`: the parts of the architecture that are trained separately."""


class Relaxation(nn.Module):
    """Gives a mixture for each group of edges; its parameters are the architecture."""

    @abstractmethod
    def forward(self) -> dict[str, Tensor]:
        """Group -> shares, as in `Layout.mixture_shapes`; a new sample if they are random."""

    @abstractmethod
    def distribution(self) -> Distributions:
        """The current distributions."""


class Alphas(Relaxation):
    """A parameter for every operation on every edge, initialised with 1e-3 N(0, 1) as in DARTS.

    Args:
        layout: Of the supernet.
        layer: Has device and dtype of the parameters.
        generator: Draws them.
        given: Fixed shares of groups that are not searched.
    """

    def __init__(
        self,
        layout: Layout,
        layer: LayerSpec,
        generator: torch.Generator,
        *,
        given: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.layout = layout
        self.alphas = nn.ParameterDict()
        self.given = Chosen(layout, layer)
        self.given.choose(given or {})
        self.given_groups = tuple(given or ())
        for group, shape in layout.mixture_shapes().items():
            if group in self.given_groups:
                continue
            drawn = INITIAL_SCALE * torch.randn(shape, generator=generator, dtype=torch.float64)
            dtype = layer.dtype or torch.get_default_dtype()
            self.alphas[group] = nn.Parameter(drawn.to(device=layer.device, dtype=dtype))

    @abstractmethod
    def probabilities(self, group: str) -> Tensor:
        """The probability of each operation on each edge of a group, as in `Layout.mixture_shapes`."""

    def forward(self) -> dict[str, Tensor]:
        """The probabilities are the shares."""
        given = self.given()
        shares = {group: given[group] for group in self.given_groups}
        return shares | {group: self.probabilities(group) for group in self.alphas}

    @abstractmethod
    def distribution(self) -> Distributions:
        """The current distributions."""


class LocalSoftmax(Alphas):
    """One softmax for each edge, over its operations, as in DARTS."""

    def probabilities(self, group: str) -> Tensor:
        """Each row sums to 1."""
        return self.alphas[group].softmax(dim=-1)

    def distribution(self) -> Distributions:
        """One distribution for each edge."""
        return {group: list(self.probabilities(group).detach()) for group in self.alphas}


class JointSoftmax(Alphas):
    """One softmax for each node, over all operations on all edges into it.

    Jiang et al. 2019, "Improved Differentiable Architecture Search for Language Modeling and Named Entity
    Recognition", equation 3, and rnn/model_search.py of jiangyingjunn/i-darts, where `none` is included.
    """

    def probabilities(self, group: str) -> Tensor:
        """The rows of each node sum to 1 in total."""
        alphas = self.alphas[group]
        parts = [part.reshape(-1).softmax(dim=0).view_as(part) for part in alphas.split(self._edges(group))]
        return torch.cat(parts)

    def distribution(self) -> Distributions:
        """One distribution for each node."""
        return {
            group: [part.reshape(-1) for part in self.probabilities(group).detach().split(self._edges(group))]
            for group in self.alphas
        }

    def _edges(self, group: str) -> list[int]:
        """The number of edges into each node; a node of a gate has one."""
        if group == CELL:
            return list(range(1, self.layout.nodes + 1))
        return [1] * self.layout.delay


class Chosen(Relaxation):
    """Fixed shares of one discrete cell, which can be replaced."""

    def __init__(self, layout: Layout, layer: LayerSpec) -> None:
        super().__init__()
        self.shapes = layout.mixture_shapes()
        for group, shape in self.shapes.items():
            dtype = layer.dtype or torch.get_default_dtype()
            self.register_buffer(f"shares_{group}", torch.zeros(shape, device=layer.device, dtype=dtype))

    def choose(self, shares: Mapping[str, Tensor]) -> None:
        """Set the shares of some groups."""
        for group, tensor in shares.items():
            self.get_buffer(f"shares_{group}").copy_(tensor)

    def forward(self) -> dict[str, Tensor]:
        """The shares."""
        return {group: self.get_buffer(f"shares_{group}") for group in self.shapes}

    def distribution(self) -> Distributions:
        """Uniform on every edge, because nothing is learned."""
        return {
            group: [torch.full((columns,), 1.0 / columns) for _ in range(rows)]
            for group, (rows, columns) in self.shapes.items()
        }

"""Ensemble Gumbel-softmax: discrete samples of an architecture with straight-through gradients.

Chang et al. 2019, "Differentiable Architecture Search with Ensemble Gumbel-Softmax", section 3.2. For every
edge M one-hot samples z_1, ..., z_M are drawn from its softmax p by the Gumbel trick, and the code of the edge
is their elementwise maximum, so that operation k is active with probability 1 - (1 - p_k)^M. In the backward
pass a one-hot sample has the gradient of softmax((log p + g) / tau) (straight-through), and if several samples
attain the maximum, each gets an equal part of its gradient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import torch
from torch import Tensor

from cellzoo.notations.steps.graph import NONE
from search.supernets.layout import CELL
from search.supernets.relaxation import Alphas

if TYPE_CHECKING:
    from collections.abc import Callable

    from search.supernets.layout import Layout
    from search.supernets.relaxation import Distributions
    from tasks.problem import LayerSpec

Division: TypeAlias = Literal["node", "edge", "none"]


class EnsembleGumbel(Alphas):
    """Samples a code in every call in training mode; uses the code of `choose` in evaluation mode.

    Args:
        layout: Of the supernet.
        layer: Has device and dtype of the parameters.
        generator: Draws the parameters and the samples.
        samples: M.
        divide: As in `divided`.
        resource_mixing: As in `mixed`.
        choose: Derives a code from the probabilities, as shares, without random numbers.
    """

    def __init__(
        self,
        layout: Layout,
        layer: LayerSpec,
        generator: torch.Generator,
        *,
        samples: int,
        divide: Division,
        resource_mixing: float = 0.0,
        choose: Callable[[Tensor], dict[str, Tensor]],
    ) -> None:
        super().__init__(layout, layer, generator)
        self.generator = generator
        self.samples = samples
        self.divide = divide
        self.resource_mixing = resource_mixing
        self.choose = choose
        self.temperature = 1.0

    def forward(self) -> dict[str, Tensor]:
        """Sample a code as shares of 0 and 1, then divide them according to `divide`."""
        alphas = self.alphas[CELL]
        if not self.training:
            shares = self.choose(self.probabilities(CELL).detach())
            return {group: tensor.to(alphas) for group, tensor in shares.items()}
        # The log-softmax is exact also for probabilities close to 0.
        logs = alphas.log_softmax(dim=-1) if not self.resource_mixing else self.probabilities(CELL).log()
        code = ensemble(logs, self.samples, self.temperature, self.generator)
        return {CELL: divided(self.layout, code, self.divide)}

    def probabilities(self, group: str) -> Tensor:
        """The probabilities of one sample; each row sums to 1."""
        return mixed(self.layout, self.alphas[group].softmax(dim=-1), self.resource_mixing)

    def distribution(self) -> Distributions:
        """One distribution an edge: that of one sample."""
        return {group: list(self.probabilities(group).detach()) for group in self.alphas}


def ensemble(log_probabilities: Tensor, samples: int, temperature: float, generator: torch.Generator) -> Tensor:
    """Sample a code for every edge.

    Args:
        log_probabilities: (edges, K).
        samples: M.
        temperature: tau; it only affects the gradient, not the samples.
        generator: On the CPU.

    Returns:
        (edges, K), 0 and 1.
    """
    shape = (samples, *log_probabilities.shape)
    # rand is in [0, 1), so the difference is never 0.
    uniform = 1.0 - torch.rand(shape, generator=generator, dtype=torch.float64)
    exponential = -uniform.log()
    noise = -exponential.clamp(min=torch.finfo(torch.float64).tiny).log()  # (M, edges, K)
    perturbed = log_probabilities + noise.to(log_probabilities)
    soft = (perturbed / temperature).softmax(dim=-1)
    hard = torch.zeros_like(soft).scatter_(-1, perturbed.argmax(dim=-1, keepdim=True), 1.0)
    # The difference is exactly 0 in the forward pass.
    return (hard + (soft - soft.detach())).amax(dim=0)


def divided(layout: Layout, code: Tensor, divide: Division) -> Tensor:
    """Divide shares by the number of active operations, without `none`.

    The gradient also flows through this number. If the number were a constant, the gradient of the architecture
    would have another direction, unless batch normalisation removes the scale.

    Args:
        layout: Of the supernet.
        code: Of 0 and 1, (..., edges, K).
        divide: `node`, all shares into a node by the number of its operations; `edge`, those of each edge by
            the number of its own; or `none`. If no operation is active, shares are unchanged.
    """
    if divide == "none":
        return code
    real = [column for column, op in enumerate(layout.operations) if op != NONE]
    active = code[..., real].sum(dim=-1, keepdim=True)  # (..., edges, 1)
    if divide == "node":
        parts = active.split(list(range(1, layout.nodes + 1)), dim=-2)
        active = torch.cat([part.sum(dim=-2, keepdim=True).expand_as(part) for part in parts], dim=-2)
    return code / active.clamp(min=1.0)


def mixed(layout: Layout, probabilities: Tensor, share: float) -> Tensor:
    """Mix the costs of operations into the probabilities: equation 5 of the paper, there with a share of .5.

    The costs are normalised to sum to 1. In a recurrent cell every operation costs one matrix product, and
    `none` costs nothing.
    """
    if share == 0.0:
        return probabilities
    costs = probabilities.new_tensor([float(op != NONE) for op in layout.operations])
    return (1.0 - share) * probabilities + share * costs / costs.sum()

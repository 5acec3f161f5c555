"""Ensemble Gumbel-softmax: hard samples of an architecture that still have gradients.

Chang et al. 2019, "Differentiable Architecture Search with Ensemble Gumbel-Softmax", section 3.2. For every
edge M one-hot samples z_1, ..., z_M are drawn from its softmax p by the Gumbel trick, and the code of the edge
is their elementwise maximum, so that operation k is active with probability 1 - (1 - p_k)^M. Backwards, a
one-hot sample counts as softmax((log p + g) / tau) (straight-through), and a maximum that several samples share
passes an equal part of its gradient to each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cellzoo.notations.steps.graph import NONE
from search.supernets.layout import CELL
from search.supernets.relaxation import Alphas

if TYPE_CHECKING:
    from collections.abc import Callable

    from search.methods.method import Distributions
    from search.supernets.layout import Layout
    from tasks.problem import LayerSpec


class EnsembleGumbel(Alphas):
    """Codes drawn anew in every call while training; in evaluation the code that `choose` names.

    Args:
        layout: Whose edges.
        layer: Where the parameters are.
        generator: Draws the parameters and the samples.
        samples: M.
        normalize: Whether the shares of a node are divided by the number of its active operations.
        choose: Reads a code off the probabilities, as shares; evaluation uses no chance.
    """

    def __init__(
        self,
        layout: Layout,
        layer: LayerSpec,
        generator: torch.Generator,
        *,
        samples: int,
        normalize: bool,
        choose: Callable[[Tensor], dict[str, Tensor]],
    ) -> None:
        super().__init__(layout, layer, generator)
        self.generator = generator
        self.samples = samples
        self.normalize = normalize
        self.choose = choose
        self.temperature = 1.0

    def forward(self) -> dict[str, Tensor]:
        """Draw a code as shares of 0 and 1, then divide them where `normalize` says so."""
        alphas = self.alphas[CELL]
        if not self.training:
            shares = self.choose(self.probabilities(CELL).detach())
            return {group: tensor.to(alphas) for group, tensor in shares.items()}
        code = ensemble(alphas.log_softmax(dim=-1), self.samples, self.temperature, self.generator)
        return {CELL: normalized(self.layout, code) if self.normalize else code}

    def probabilities(self, group: str) -> Tensor:
        """Of one sample: each row sums to 1."""
        return self.alphas[group].softmax(dim=-1)

    def distribution(self) -> Distributions:
        """One distribution an edge: that of one sample."""
        return {group: list(self.probabilities(group).detach()) for group in self.alphas}


def ensemble(log_probabilities: Tensor, samples: int, temperature: float, generator: torch.Generator) -> Tensor:
    """Draw a code for every edge.

    Args:
        log_probabilities: (edges, K).
        samples: M.
        temperature: tau, of the gradient alone: it does not change what is drawn.
        generator: On the CPU.

    Returns:
        (edges, K), 0 and 1.
    """
    shape = (samples, *log_probabilities.shape)
    # One minus a number from [0, 1) is never 0.
    uniform = 1.0 - torch.rand(shape, generator=generator, dtype=torch.float64)
    exponential = -uniform.log()
    noise = -exponential.clamp(min=torch.finfo(torch.float64).tiny).log()  # (M, edges, K)
    perturbed = log_probabilities + noise.to(log_probabilities)
    soft = (perturbed / temperature).softmax(dim=-1)
    hard = torch.zeros_like(soft).scatter_(-1, perturbed.argmax(dim=-1, keepdim=True), 1.0)
    # The difference is exactly 0 forwards.
    return (hard + (soft - soft.detach())).amax(dim=0)


def normalized(layout: Layout, code: Tensor) -> Tensor:
    """Divide the shares of each node by the number of its active operations, `none` not counted.

    The number is a constant for gradients; a node without active operations stays as it is.
    """
    real = [column for column, op in enumerate(layout.operations) if op != NONE]
    parts = []
    for part in code.split(list(range(1, layout.nodes + 1))):
        active = part.detach()[:, real].sum().clamp(min=1.0)
        parts.append(part / active)
    return torch.cat(parts)

"""The interface of engines that compute a supernet over a sequence.

One call runs one direction over a batch of sequences. All engines give the same results as `reference.py`,
except for running statistics, in which they may omit some states, see `SharedStatistics.absorb`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from search.supernets.normalisation import SharedStatistics


@dataclass(frozen=True)
class SupernetCall:
    """The arguments of a call of an engine.

    Attributes:
        inputs: (N, E), rows packed as in `cellzoo.runtime.Runtime`.
        batch_sizes: Rows at each step, non-increasing.
        states: h (B, H); for a layout with gates all states of `search.supernets.gates`.
        weights: As in `Layout.weight_shapes`.
        mixtures: Group -> share of each operation on each edge, as in `Layout.mixture_shapes`. They need not
            sum to 1.
        statistics: Normalises states; None if the layout has no normalisation.
        reverse: Process the steps from the last to the first.
        mask_x: (B, E), factor on values of the width of x in matrix products.
        mask_h: (B, H), factor on values of the width of h in matrix products.
    """

    inputs: Tensor
    batch_sizes: Sequence[int]
    states: Sequence[Tensor]
    weights: Mapping[str, Tensor]
    mixtures: Mapping[str, Tensor]
    statistics: SharedStatistics | None = None
    reverse: bool = False
    mask_x: Tensor | None = None
    mask_h: Tensor | None = None


class SupernetRuntime(Protocol):
    """An engine for one layout."""

    @property
    def ran(self) -> tuple[str, ...]:
        """The engines that ran the last call, in the order of its steps; empty before the first."""
        ...

    def __call__(self, call: SupernetCall) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run the supernet.

        Inputs, states, weights and mixtures get gradients only if they require them: an update of the
        architecture needs none of the weights, and an update of the weights none of the mixtures. If a mixture
        requires no gradient, edges and operations with share 0 need not be computed.

        Returns:
            Outputs (N, H) in the order of `inputs`, and the states of each row after its last step.
        """
        ...

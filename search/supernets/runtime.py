"""What computes a supernet over a sequence.

One call runs one direction over a whole batch of sequences. Whatever is faster than `reference.py` takes the
same call and gives the same numbers, but for running statistics, which may leave out what `absorb` says.
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
    """What a supernet is run on, and with.

    Attributes:
        inputs: (N, E), rows packed as in `cellzoo.runtime.Runtime`.
        batch_sizes: Rows at each step, never growing.
        states: h (B, H); for a layout with gates also what `Layout.delay` asks for, see
            `search.supernets.gates`.
        weights: As in `Layout.weight_shapes`.
        mixtures: Group -> share of each operation on each edge, as in `Layout.mixture_shapes`. They are
            multiplied as they are, whether they sum to 1 or not.
        statistics: Normalises states; None where the layout has no normalisation.
        reverse: Walk from the last step to the first.
        mask_x: (B, E) factor on what has the width of x where a matrix multiplies it.
        mask_h: (B, H) factor on what has the width of h where a matrix multiplies it.
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
    """An engine that was prepared for one layout."""

    @property
    def ran(self) -> tuple[str, ...]:
        """The engines that ran the last call, in the order of its steps; empty before the first."""
        ...

    def __call__(self, call: SupernetCall) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run the supernet.

        Gradients go to inputs, states, weights and mixtures, to each only where it requires them: an update of
        the architecture asks for none of the weights, an update of the weights for none of the mixtures. Where
        a mixture requires none, edges and operations whose share is 0 need not be computed.

        Returns:
            Outputs (N, H) in the order of `inputs`, and the states of each row after its last step.
        """
        ...

"""What an engine that was prepared for a cell is called with, and what it gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor


class Runtime(Protocol):
    """An engine that was prepared for one cell.

    It runs one layer in one direction over rows that are packed as in `PackedSequence`: step t has
    `batch_sizes[t]` rows, which continue the first rows of step t - 1.
    """

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
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run the cell.

        Args:
            inputs: (N, E), N = sum(batch_sizes).
            batch_sizes: Rows at each step, never growing.
            states: Initial states, each (B, H), delayed inputs (B, E), with B = batch_sizes[0].
            weights: Name -> tensor, as in `Cell.parameter_shapes`. A bias that is absent counts as none.
            reverse: Walk from the last step to the first.
            mask_x: (B, E) factor on x, and on any other value of its width, where a matrix multiplies it.
            mask_h: (B, H) factor on every value of the hidden width where a matrix multiplies it. Values
                with a number of units of their own are not masked.

        Returns:
            Outputs (N, H) in the order of `inputs`, and the states of each row after its last step.
        """
        ...

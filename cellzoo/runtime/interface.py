"""The interface of engines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from cellzoo.cells.cell import Cell
    from cellzoo.runtime.plan import Plans


class Runtime(Protocol):
    """An engine prepared for one cell.

    It runs one layer in one direction over rows packed as in `PackedSequence`: step t has `batch_sizes[t]`
    rows, which belong to the same sequences as the first rows of step t - 1.
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
            batch_sizes: Rows of each step, non-increasing.
            states: Initial states, each (B, H), delayed inputs (B, E), with B = batch_sizes[0].
            weights: Name -> tensor, as in `Cell.parameter_shapes`. Biases may be absent.
            reverse: Process the steps from the last to the first.
            mask_x: (B, E), multiplied with x, and other values of its width, where they are factors of a matrix
                product.
            mask_h: (B, H), the same for values of the hidden width. Values with an explicit number of units are
                not masked.

        Returns:
            Outputs (N, H) in the order of `inputs`, and the final states of each sequence, (B, width) each.
        """
        ...


class PlanRuntime(Protocol):
    """An engine prepared for running plans."""

    @property
    def ran(self) -> tuple[str, ...]:
        """The engines that ran the last call, in the order of its steps; empty before the first."""
        ...

    def __call__(
        self,
        plans: Plans,
        inputs: Tensor,
        batch_sizes: Sequence[int],
        states: Sequence[Tensor],
        weights: Mapping[str, Tensor],
        *,
        reverse: bool = False,
        mask_x: Tensor | None = None,
        mask_h: Tensor | None = None,
        parameters: Tensor | None = None,
        norm_statistics: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run the plan for this kind of call. Arguments and results are as in `Runtime`, except the following.

        Args:
            plans: Give the plan of each variant of the model.
            inputs: (N, E).
            batch_sizes: See there.
            states: See there, with the widths of the plans.
            weights: By the names in the plans.
            reverse: See there.
            mask_x: See there.
            mask_h: See there.
            parameters: Mixture parameters (P,), if the plans have mixtures.
            norm_statistics: Output, (norms, S, 2, H), if the plans have norms: receives the mean and the biased
                variance of each norm (`Plan.norms`) at each of the S steps with more than one row.
        """
        ...


@dataclass(frozen=True)
class Engine:
    """The factories of an engine.

    Attributes:
        prepare_cell: Prepares the engine for a cell.
        prepare_plans: Prepares the engine for plans; None if it does not run plans.
        prepare_rounding: Like `prepare_cell`, with products whose factors are rounded to bfloat16; None if the
            engine has no such products.
        prepare_rounding_plans: The same for plans.
    """

    prepare_cell: Callable[[Cell], Runtime]
    prepare_plans: Callable[[], PlanRuntime] | None
    prepare_rounding: Callable[[Cell], Runtime] | None = None
    prepare_rounding_plans: Callable[[], PlanRuntime] | None = None

"""What an engine prepares, and what that is called with and gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from cellzoo.cells.cell import Cell
    from cellzoo.runtime.plan import Plans


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
            reverse: Go from the last step to the first.
            mask_x: (B, E) factor on x, and on any other value of its width, where a matrix multiplies it.
            mask_h: (B, H) factor on every value of the hidden width where a matrix multiplies it. Values
                with a number of units of their own are not masked.

        Returns:
            Outputs (N, H) in the order of `inputs`, and the states of each row after its last step.
        """
        ...


class PlanRuntime(Protocol):
    """An engine that was prepared for plans, of whatever has some."""

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
        """Run the one of the plans that fits the call; arguments and results as in `Runtime`, but for these.

        Args:
            plans: Say what is computed.
            inputs: (N, E).
            batch_sizes: Rows at each step.
            states: As the plans have them.
            weights: By the plans' names.
            reverse: Go from the last step to the first.
            mask_x: Factor on values of x's width where a matrix multiplies them.
            mask_h: The same for values of the hidden width.
            parameters: Of mixtures (P,), where the plans have some.
            norm_statistics: Where the plans have norms, takes the mean and the biased variance that each norm
                (`Plan.norms`) finds at each of the S steps with more than one row: (norms, S, 2, H).
        """
        ...


@dataclass(frozen=True)
class Engine:
    """What an engine prepares.

    Attributes:
        prepare_cell: It for a cell.
        prepare_plans: It for plans; None for an engine that interprets definitions, of which each kind of model
            has one of its own.
        prepare_rounding: It for a cell whose products may be float32 sums of numbers rounded to bfloat16; None
            for an engine that has no such products.
        prepare_rounding_plans: The same for plans.
    """

    prepare_cell: Callable[[Cell], Runtime]
    prepare_plans: Callable[[], PlanRuntime] | None
    prepare_rounding: Callable[[Cell], Runtime] | None = None
    prepare_rounding_plans: Callable[[], PlanRuntime] | None = None

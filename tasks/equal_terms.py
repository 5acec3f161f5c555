"""Equal terms: every cell gets the width at which something costs the same for all of them.

What is held equal is a setting of every problem with a recurrent layer: parameters, operations a token, or the
measured time of a training step. The width of the layer is solved for; what the layer reads stays as wide as it
is. What came out stands in the record, with its distance from the target, as widths are whole numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self, TypeAlias

from pydantic import model_validator

from cellzoo.errors import CellzooError
from tasks.settings import Count, NotNegative, Settings

if TYPE_CHECKING:
    from collections.abc import Callable

Quantity: TypeAlias = Literal["parameters", "flops", "time"]
SETTINGS: dict[Quantity, str] = {
    "parameters": "cell_parameters",
    "flops": "cell_flops",
    "time": "cell_time",
}
UNITS: dict[Quantity, str] = {
    "parameters": "parameters",
    "flops": "FLOPs a token",
    "time": "times the training time of lstm",
}
LARGEST_WIDTH = 1 << 17


class EqualTerms(Settings):
    """What every cell gets equally much of; at most one of the three. Baselines always have `hidden_size`.

    Attributes:
        cell_parameters: Parameters of the recurrent layer, in all layers and directions: every cell gets the
            `hidden_size` that comes nearest. 0 gives every cell `hidden_size`.
        cell_flops: The same of its floating-point operations for one token, forward.
        cell_time: The same of the time of a training step of the layer, as a multiple of what `lstm` takes with
            `hidden_size` units in the same minute: 1 makes all cells as fast as that. It is measured once for
            a cell and an output folder; the machine decides the width, so this is not for published numbers.
    """

    cell_parameters: Count = 0
    cell_flops: Count = 0
    cell_time: NotNegative = 0.0

    @model_validator(mode="after")
    def _one_at_most(self) -> Self:
        held = [name for name in SETTINGS.values() if getattr(self, name)]
        if len(held) > 1:
            raise ValueError(f"{' and '.join(held)} cannot both be held equal; set all but one to 0")
        return self

    @property
    def target(self) -> tuple[Quantity, float] | None:
        """What is held equal, and at how much; None for nothing."""
        return next(((what, value) for what, name in SETTINGS.items() if (value := getattr(self, name))), None)


@dataclass(frozen=True)
class Held:
    """What was held equal for a run.

    Attributes:
        quantity: What.
        target: How much of it was asked for.
        reached: How much of it the layer has.
        hidden_size: The width that was solved for.
    """

    quantity: Quantity
    target: float
    reached: float
    hidden_size: int


def solve_width(amount: Callable[[int], float], target: float, *, step: int = 1, precision: float = 0.0) -> int:
    """The width with which the amount is nearest to a target; the smaller one of two that are equally near.

    Args:
        amount: Width -> how much; rises with the width.
        target: Above 0.
        step: The width is a multiple of this.
        precision: Share of the width below which no difference is looked for, where the amount is measured.

    Raises:
        CellzooError: The amount hardly rises, so that no width up to 131,072 reaches the target.
    """
    known: dict[int, float] = {}

    def of(steps: int) -> float:
        if steps not in known:
            known[steps] = amount(step * steps)
        return known[steps]

    low, high = 1, 2
    while of(high) < target:
        low, high = high, 2 * high
        if step * high > LARGEST_WIDTH:
            raise CellzooError(f"no width up to {LARGEST_WIDTH:,} units reaches {target:,}; ask for less")
    while high - low > max(1, int(precision * low)):
        middle = (low + high) // 2
        if of(middle) < target:
            low = middle
        else:
            high = middle
    return step * min((low, high), key=lambda steps: (abs(of(steps) - target), steps))

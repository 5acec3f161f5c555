"""What a benchmark times."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor


@dataclass(frozen=True)
class Candidate:
    """Something that is timed.

    Attributes:
        name: What tables call it.
        flops: Floating-point operations of a run.
        run: Does one pass; gives the outputs, and in training the gradient of x, of what has them.
        details: What is worth keeping beside the times.
    """

    name: str
    flops: int
    run: Callable[[], Sequence[Tensor]]
    details: dict[str, Any] = field(default_factory=dict)

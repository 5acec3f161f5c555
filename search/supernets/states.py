"""What a supernet carries from step to step.

Without gates that is h. With gates it is, in this order,

    h, h2, ..., hm      the states 1 to m steps back          (B, H)
    x1, ..., xm         the inputs 1 to m steps back          (B, E)
    seen                how many steps there have been        (B, 1)

so that text which is cut into segments is as one text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from search.supernets.layout import Layout


class History(NamedTuple):
    """The states of a supernet with gates, by what they are.

    Attributes:
        hidden: States 1, 2, ... steps back, each (b, H).
        inputs: Inputs 1, 2, ... steps back, each (b, E).
        seen: Steps so far, (b, 1).
    """

    hidden: Sequence[Tensor]
    inputs: Sequence[Tensor]
    seen: Tensor

    @classmethod
    def of(cls, states: Sequence[Tensor]) -> History:
        """Sort carried states."""
        delay = len(states) // 2
        return cls(states[:delay], states[delay : 2 * delay], states[2 * delay])

    def after(self, x: Tensor, output: Tensor) -> list[Tensor]:
        """The states after a step that read x and gave an output."""
        return [output, *self.hidden[:-1], x, *self.inputs[:-1], self.seen + 1]


def state_widths(layout: Layout, input_size: int, hidden_size: int) -> list[int]:
    """Widths of the carried states, in order."""
    if not layout.delay:
        return [hidden_size]
    return [hidden_size] * layout.delay + [input_size] * layout.delay + [1]

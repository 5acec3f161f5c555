"""Layers in the place of a recurrent one that know nothing of order: what a cell has to beat.

- `no-recurrence`: each word by itself, tanh(W x + b), as wide as the recurrent layer would be.
- `constant`: zeros, so that the model around it can learn how often each answer is right, and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from cellzoo.errors import unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from tasks.problem import LayerSpec

NO_RECURRENCE, CONSTANT = "no-recurrence", "constant"


class WordwiseLayer(nn.Module):
    """A layer of tanh units on each word, with the call of `CellRNN`.

    Args:
        spec: The recurrent layer that it stands for.
        generator: Draws the weights in ± 1 / sqrt(E).
    """

    def __init__(self, spec: LayerSpec, generator: torch.Generator) -> None:
        super().__init__()
        width = spec.hidden_size * (2 if spec.bidirectional else 1)
        bound = spec.input_size**-0.5
        drawn = torch.empty(width, spec.input_size + 1).uniform_(-bound, bound, generator=generator)
        self.weight = nn.Parameter(drawn[:, :-1].contiguous())  # (directions * H, E)
        self.bias = nn.Parameter(drawn[:, -1].contiguous())

    def forward(self, input: Tensor | PackedSequence, hx: Any = None) -> tuple[Tensor | PackedSequence, None]:  # noqa: A002
        """Give (T, B, directions * H), or a PackedSequence of it; there is no state."""
        return _each_word(input, lambda x: torch.tanh(nn.functional.linear(x, self.weight, self.bias))), None


class ConstantLayer(nn.Module):
    """Zeros, with the call of `CellRNN`.

    Args:
        spec: The recurrent layer that it stands for.
        generator: Not needed: there is nothing to draw.
    """

    def __init__(self, spec: LayerSpec, generator: torch.Generator) -> None:
        super().__init__()
        self.width = spec.hidden_size * (2 if spec.bidirectional else 1)

    def forward(self, input: Tensor | PackedSequence, hx: Any = None) -> tuple[Tensor | PackedSequence, None]:  # noqa: A002
        """Give (T, B, directions * H) zeros, or a PackedSequence of them."""
        return _each_word(input, lambda x: x.new_zeros(*x.shape[:-1], self.width)), None


BASELINES: Mapping[str, type[WordwiseLayer | ConstantLayer]] = {
    NO_RECURRENCE: WordwiseLayer,
    CONSTANT: ConstantLayer,
}


def baseline_layer(name: str, spec: LayerSpec, generator: torch.Generator) -> nn.Module:
    """Build a baseline in the place of a recurrent layer.

    Raises:
        UnknownNameError: There is no such baseline.
    """
    if name not in BASELINES:
        raise unknown("baseline", name[:80], BASELINES)
    return BASELINES[name](spec, generator).to(spec.device)


def _each_word(values: Tensor | PackedSequence, change: Any) -> Tensor | PackedSequence:
    if isinstance(values, PackedSequence):
        return values._replace(data=change(values.data))
    changed: Tensor = change(values)
    return changed

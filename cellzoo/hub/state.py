"""The recurrent state as what transformers calls a cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class RecurrentState:
    """The recurrent state between calls: `past_key_values` of the models here.

    Attributes:
        states: Each state of the cell, (num_layers, B, H), delayed inputs (num_layers, B, E).
        tokens: Number of tokens read so far, masked ones included.
    """

    states: tuple[Tensor, ...]
    tokens: int

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Number of tokens that the state covers; the same in all layers."""
        return self.tokens

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Select the state of row `beam_idx[i]` for each row i, as beam search needs."""
        self.states = tuple(state.index_select(1, beam_idx.to(state.device)) for state in self.states)

    def detach(self) -> RecurrentState:
        """The same state detached from the autograd graph, for truncated backpropagation."""
        return RecurrentState(tuple(state.detach() for state in self.states), self.tokens)


# Registered as a pytree node, so that torch.export accepts it as input and output.
torch.export.register_dataclass(RecurrentState, serialized_type_name="cellzoo.hub.RecurrentState")

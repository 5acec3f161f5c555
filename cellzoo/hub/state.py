"""The recurrent state as what transformers calls a cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class RecurrentState:
    """What a model carries from one call to the next: `past_key_values` of the models here.

    Attributes:
        states: Each state of the cell, (num_layers, B, H), delayed inputs (num_layers, B, E).
        tokens: Number of tokens that were read, masked ones included.
    """

    states: tuple[Tensor, ...]
    tokens: int

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Number of tokens that need not be read again; the same in all layers."""
        return self.tokens

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Give each row the state of the row that `beam_idx` (B,) names."""
        self.states = tuple(state.index_select(1, beam_idx.to(state.device)) for state in self.states)

    def detach(self) -> RecurrentState:
        """The same state without its history, for truncated backpropagation."""
        return RecurrentState(tuple(state.detach() for state in self.states), self.tokens)


# What torch.export takes and gives apart into its tensors and its number of tokens.
torch.export.register_dataclass(RecurrentState, serialized_type_name="cellzoo.hub.RecurrentState")

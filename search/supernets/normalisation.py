"""Batch normalisation inside a supernet, which keeps the scales of its nodes alike while it is searched in."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SharedStatistics(nn.Module):
    """Batch normalisation without parameters, with one set of running statistics for all that passes.

    rnn/model_search.py of quark0/darts has one such module for state 0, all nodes and all time steps. In
    training it normalises by the batch at hand, so sharing makes no difference there; in evaluation it
    normalises by running statistics that are mixed over all nodes.

    A single row, as at the end of the longest sequence of a packed batch, has no variance: it is normalised by
    the running statistics, and does not enter them.

    Args:
        size: H.
        device: As in torch.
        dtype: As in torch.
    """

    MOMENTUM = 0.1
    EPSILON = 1e-5

    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self, size: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(size, device=device, dtype=dtype))
        self.register_buffer("running_var", torch.ones(size, device=device, dtype=dtype))

    def forward(self, state: Tensor) -> Tensor:
        """Normalise a state (b, H) over its rows."""
        return F.batch_norm(
            state,
            self.running_mean,
            self.running_var,
            training=self.training and state.size(0) > 1,
            momentum=self.MOMENTUM,
            eps=self.EPSILON,
        )

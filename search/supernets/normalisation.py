"""Batch normalisation in a supernet, which keeps the scales of its nodes comparable during the search."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SharedStatistics(nn.Module):
    """Batch normalisation without parameters, with one set of running statistics for all states.

    rnn/model_search.py of quark0/darts has one such module for state 0, all nodes and all time steps. In
    training it normalises by batch statistics, so sharing makes no difference. In evaluation the code
    normalises by running statistics that are averaged over all nodes. If the nodes differ in scale, as with the
    joint softmax of I-DARTS, whose shares are small, a state that is larger than the others then grows from
    step to step until it overflows (observed on PTB after one epoch). Therefore batch statistics are used by
    default in evaluation, too.

    A single row, as at the end of the longest sequence of a packed batch, has no variance. With batch
    statistics it is normalised over its units instead, which keeps its scale comparable to the other steps, and
    does not enter the running statistics; normalised by running statistics it overflowed (observed on
    CoNLL-2000).

    Args:
        size: H.
        uses_running: Whether evaluation normalises by running statistics, as in the DARTS code.
        device: As in torch.
        dtype: As in torch.
    """

    MOMENTUM = 0.1
    EPSILON = 1e-5

    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self,
        size: int,
        *,
        uses_running: bool = False,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.uses_running = uses_running
        self.register_buffer("running_mean", torch.zeros(size, device=device, dtype=dtype))
        self.register_buffer("running_var", torch.ones(size, device=device, dtype=dtype))

    @property
    def is_by_batch(self) -> bool:
        """Whether batch statistics are used in the current mode."""
        return self.training or not self.uses_running

    def forward(self, state: Tensor) -> Tensor:
        """Normalise a state (b, H) over its rows, or over its units if there is only one row."""
        if self.is_by_batch and state.size(0) == 1:
            return F.layer_norm(state, (state.size(1),), eps=self.EPSILON)
        return F.batch_norm(
            state,
            self.running_mean,
            self.running_var,
            training=self.is_by_batch,
            momentum=self.MOMENTUM if self.training else 0.0,
            eps=self.EPSILON,
        )

    @torch.no_grad()
    def absorb(self, moments: Tensor, rows: Tensor) -> None:
        """Update the running statistics with moments that an engine computed, as successive calls of `forward`.

        Args:
            moments: (states, T, 2, H), mean and biased variance of each state at each step, in the order of
                computation. States that an engine did not compute, because nothing reads them or because they
                are the same in all rows, are not included.
            rows: (T,), the number of rows of each step.
        """
        unbiased = (rows / (rows - 1)).view(1, -1, 1)  # (1, T, 1)
        means, variances = moments[:, :, 0], moments[:, :, 1] * unbiased  # (states, T, H)
        count = means.size(0) * means.size(1)
        if count == 0:
            return
        # The last value has weight MOMENTUM, the one before MOMENTUM (1 - MOMENTUM), and so on.
        ages = torch.arange(count - 1, -1, -1, dtype=torch.float64)
        weights = (self.MOMENTUM * (1 - self.MOMENTUM) ** ages).to(moments)
        for running, values in ((self.running_mean, means), (self.running_var, variances)):
            in_order = values.transpose(0, 1).reshape(count, -1)  # (T * states, H)
            running.mul_((1 - self.MOMENTUM) ** count).add_(weights @ in_order)

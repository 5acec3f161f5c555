"""Batch normalisation inside a supernet, which keeps the scales of its nodes alike while it is searched in."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SharedStatistics(nn.Module):
    """Batch normalisation without parameters, with one set of running statistics for all that passes.

    rnn/model_search.py of quark0/darts has one such module for state 0, all nodes and all time steps. In
    training it normalises by the batch at hand, so sharing makes no difference there. In evaluation the code
    normalises by running statistics that are mixed over all nodes. Where the nodes differ in scale, as with
    the joint softmax of I-DARTS, whose shares are small, a state that is larger than the rest then grows from
    step to step until it overflows (seen on PTB after one epoch); so by default the batch at hand decides in
    evaluation, too.

    A single row, as at the end of the longest sequence of a packed batch, has no variance. Where the batch at
    hand decides, it is normalised over its units instead, which keeps its scale that of the other steps, and
    does not enter the running statistics; by those it grew until it overflowed (seen on CoNLL-2000).

    Args:
        size: H.
        uses_running: Whether evaluation normalises by running statistics, as the code does.
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
        """Whether the batch at hand decides now."""
        return self.training or not self.uses_running

    def forward(self, state: Tensor) -> Tensor:
        """Normalise a state (b, H) over its rows, or over its units where there is one row."""
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
        """Take moments that were found elsewhere into the running statistics, as `forward` would one by one.

        Args:
            moments: (states, T, 2, H), mean and biased variance of each state at each step, in the order in
                which a step computes the states and the steps follow each other. A state that nothing reads, or
                that is the same in all rows, need not be computed, and is then not among them.
            rows: (T,), over how many rows each step took them.
        """
        unbiased = (rows / (rows - 1)).view(1, -1, 1)  # (1, T, 1)
        means, variances = moments[:, :, 0], moments[:, :, 1] * unbiased  # (states, T, H)
        count = means.size(0) * means.size(1)
        if count == 0:
            return
        # The last one has weight MOMENTUM, the one before MOMENTUM (1 - MOMENTUM), and so on.
        ages = torch.arange(count - 1, -1, -1, dtype=torch.float64)
        weights = (self.MOMENTUM * (1 - self.MOMENTUM) ** ages).to(moments)
        for running, values in ((self.running_mean, means), (self.running_var, variances)):
            in_order = values.transpose(0, 1).reshape(count, -1)  # (T * states, H)
            running.mul_((1 - self.MOMENTUM) ** count).add_(weights @ in_order)

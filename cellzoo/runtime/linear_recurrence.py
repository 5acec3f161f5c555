"""Linear recurrences h' = a * h + b over packed rows, and shifts of states by one step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from cellzoo.runtime.once import refuse_batched
from cellzoo.system.lazy import lazy_property

if TYPE_CHECKING:
    from collections.abc import Sequence

# On CPUs, with more numbers per step, a loop over the steps is faster than the scan: the overhead of Python is
# hidden.
_LOOPED = 2048


class Rows:
    """The structure of a packed batch: which rows belong to which step and sequence.

    Args:
        batch_sizes: Rows of each step, non-increasing.
        device: Device of the tensors.
        reverse: Whether steps are processed from the last to the first.
    """

    def __init__(self, batch_sizes: Sequence[int], device: torch.device, *, reverse: bool) -> None:
        self.batch_sizes = tuple(batch_sizes)
        self.reverse = reverse
        self._device = device
        self._is_even = batch_sizes[0] == batch_sizes[-1]

    @lazy_property
    def opposite(self) -> Rows:
        """The same rows in the other direction."""
        return Rows(self.batch_sizes, self._device, reverse=not self.reverse)

    @lazy_property
    def _places(self) -> tuple[Tensor, Tensor]:
        """Step and sequence of each row, each (N,)."""
        sizes = torch.tensor(self.batch_sizes)
        steps = torch.arange(len(sizes)).repeat_interleave(sizes)
        sequences = torch.arange(len(steps)) - (sizes.cumsum(0) - sizes)[steps]
        return steps, sequences

    @lazy_property
    def _row_of(self) -> Tensor:
        """The row of each step and sequence, or N where the sequence has ended, (T, B)."""
        steps, sequences = self._places
        rows = torch.full((len(self.batch_sizes), self.batch_sizes[0]), len(steps))
        rows[steps, sequences] = torch.arange(len(steps))
        return rows

    @lazy_property
    def _before(self) -> Tensor:
        """For each row the index of its previous step among initial states (B) and rows (N) joined, (N,)."""
        steps, sequences = self._places
        batch = self.batch_sizes[0]
        begin = torch.full((1, batch), len(steps))
        parts = [self._row_of[1:], begin] if self.reverse else [begin, self._row_of[:-1]]
        found = torch.cat(parts)[steps, sequences]
        return torch.where(found == len(steps), sequences, found + batch).to(self._device)

    @lazy_property
    def _last(self) -> Tensor:
        """The row of each sequence's last step, (B,)."""
        if self.reverse:
            return torch.arange(self.batch_sizes[0], device=self._device)
        lengths = (self._row_of < sum(self.batch_sizes)).sum(0)
        return self._row_of[lengths - 1, torch.arange(len(lengths))].to(self._device)

    def before(self, after: Tensor, initial: Tensor) -> Tensor:
        """Shift states by one step: the state before each row.

        Args:
            after: The state after each row, (N, width).
            initial: The initial states, (B, width).
        """
        if not self._is_even:
            return torch.cat([initial, after]).index_select(0, self._before)
        batch = initial.size(0)
        parts = [after[batch:], initial] if self.reverse else [initial, after[: after.size(0) - batch]]
        return torch.cat(parts)

    def last(self, after: Tensor) -> Tensor:
        """The values of each sequence's last step, (B, width), out of (N, width)."""
        if not self._is_even:
            return after.index_select(0, self._last)
        batch = self.batch_sizes[0]
        return after[:batch] if self.reverse else after[after.size(0) - batch :]

    def each(self, of_sequences: Tensor) -> Tensor:
        """Expand values of sequences, (B, width), to rows, (N, width)."""
        return of_sequences.index_select(0, self._places[1].to(self._device))

    def solve(self, a: Tensor, b: Tensor, initial: Tensor) -> Tensor:
        """Compute h' = a * h + b at every step.

        Args:
            a: (N, width).
            b: (N, width).
            initial: h before the first step, (B, width).

        Returns:
            h' of each row, (N, width).
        """
        is_looped = a.device.type == "cpu" and initial.numel() > _LOOPED
        return self.loop(a, b, initial) if is_looped else self.scan(a, b, initial)

    def loop(self, a: Tensor, b: Tensor, initial: Tensor) -> Tensor:
        """`solve` by a loop over the steps."""
        found = torch.empty(b.shape, dtype=b.dtype, device=b.device)
        steps = list(zip(*(value.split(self.batch_sizes) for value in (a, b, found)), strict=True))
        state = initial
        for factor, term, after in reversed(steps) if self.reverse else steps:
            rows = after.size(0)
            if rows > state.size(0):
                state = torch.cat([state, initial[state.size(0) : rows]])
            elif rows < state.size(0):
                state = state[:rows]
            state = torch.addcmul(term, factor, state, out=after)
        return found

    def scan(self, a: Tensor, b: Tensor, initial: Tensor) -> Tensor:
        """`solve` by a parallel scan of O(log T) operations, which combines pairs of steps recursively.

        There is no division, so products of a may underflow to 0, as they do step by step.
        """
        steps, batch = len(self.batch_sizes), self.batch_sizes[0]
        if self._is_even:
            factors, terms = (value.unflatten(0, (steps, batch)) for value in (a, b))  # (T, B, width)
        else:
            # A step outside of its sequence keeps the state: a = 1, b = 0.
            index = self._row_of.flatten().to(self._device)
            factors, terms = (
                torch.cat([value, value.new_full((1, value.size(1)), rest)]).index_select(0, index)
                for value, rest in ((a, 1.0), (b, 0.0))
            )
            factors, terms = (value.unflatten(0, (steps, batch)) for value in (factors, terms))
        if self.reverse:
            factors, terms = factors.flip(0), terms.flip(0)
        first = torch.addcmul(terms[:1], factors[:1], initial)
        found = _scan(factors, torch.cat([first, terms[1:]]))
        found = found.flip(0) if self.reverse else found
        return found.flatten(0, 1) if self._is_even else found[self._places]


def _scan(a: Tensor, b: Tensor) -> Tensor:
    """Solve h_0 = b_0, h_t = a_t h_(t-1) + b_t; all are (T, B, width)."""
    if a.size(0) == 1:
        return b
    pairs = a.size(0) // 2 * 2
    odd = _scan(
        a[1:pairs:2] * a[0:pairs:2],
        torch.addcmul(b[1:pairs:2], a[1:pairs:2], b[0:pairs:2]),
    )
    found = torch.empty_like(b)
    found[:1] = b[:1]
    found[1::2] = odd
    torch.addcmul(b[2::2], a[2::2], odd[: b[2::2].size(0)], out=found[2::2])
    return found


class Solve(torch.autograd.Function):
    """`Rows.solve`, differentiable; its gradient is a linear recurrence in the opposite direction."""

    @staticmethod
    def forward(ctx: Any, rows: Rows, a: Tensor, b: Tensor, initial: Tensor) -> Tensor:
        """Compute h' of each row, (N, width)."""
        found = rows.solve(a, b, initial)
        ctx.rows = rows
        ctx.save_for_backward(a, initial, found)
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Compute the gradients of a, b and the initial states.

        Raises:
            CellzooError: The gradients are batched, as for a vectorised Jacobian.
        """
        refuse_batched("scan", gradients)
        (gradient,), rows = gradients, ctx.rows
        a, initial, found = ctx.saved_tensors
        none = torch.zeros_like(initial)
        # Total gradient of h' at each step: delta_t = gradient_t + a_(t+1) delta_(t+1).
        delta = Solve.apply(rows.opposite, rows.opposite.before(a, none), gradient, none)
        return None, delta * rows.before(found, initial), delta, rows.opposite.last(a * delta)

"""The loss of a linear-chain conditional random field, for a whole batch at once.

log Z comes from the forward algorithm and its gradient, the marginals, from the backward algorithm (Lafferty
et al., 2001, section 3), both in probabilities that are scaled at each step (Rabiner, 1989, section V.A).
Scores of transitions are `[to, from]`, as in Flair.
"""

from __future__ import annotations

import math
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.autograd.function import once_differentiable
from torch.nn.utils.rnn import pack_padded_sequence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


def crf_loss(
    emissions: Tensor, transitions: Tensor, tags: Tensor, lengths: Tensor, start: int, stop: int
) -> Tensor:
    """Sum the negative log-likelihoods of tag sequences.

    Args:
        emissions: Score of each tag for each token, (B, T, K); rows beyond a sequence's length are ignored.
        transitions: (K, K), `[to, from]`.
        tags: The gold tags of all tokens, sequence after sequence, (sum of lengths,).
        lengths: (B,), on the CPU, each at least 1, in any order.
        start: The tag before each sequence; no token has it.
        stop: The tag after each sequence; no token has it.

    Returns:
        A scalar of the promoted dtype of scores and transitions.
    """
    dtype = torch.promote_types(emissions.dtype, transitions.dtype)
    transitions = transitions.to(dtype)
    right, before, last = _steps(tags, lengths, start)
    packed, sizes = _pack(emissions.to(dtype), lengths)  # (N, K)
    right, before = _pack(right, lengths)[0], _pack(before, lengths)[0]  # (N,)
    gold = packed.gather(1, right.unsqueeze(1)).sum()
    gold = gold + transitions[right, before].sum() + transitions[stop, last].sum()
    return log_partition(packed, transitions, sizes, start, stop) - gold


def log_partition(
    emissions: Tensor, transitions: Tensor, sizes: Sequence[int], start: int, stop: int
) -> Tensor:
    """Sum log Z over the sequences of a packed batch.

    Args:
        emissions: The data of a packed sequence, (N, K).
        transitions: (K, K), `[to, from]`, of the same dtype.
        sizes: The batch sizes of the packed sequence, one per step; their sum is N.
        start: The tag before each sequence.
        stop: The tag after each sequence.
    """
    # Lower precision is not enough: the loss is a small difference of large sums.
    with torch.autocast(emissions.device.type, enabled=False):
        with torch.no_grad():
            log_z, probabilities = _scaled(emissions, transitions, sizes, start, stop)
        if probabilities is None:
            return log_partition_in_logs(emissions, transitions, sizes, start, stop)
        return _ScaledLogPartition.apply(emissions, transitions, log_z, probabilities, sizes, stop)


def log_partition_in_logs(
    emissions: Tensor, transitions: Tensor, sizes: Sequence[int], start: int, stop: int
) -> Tensor:
    """Compute the same as `log_partition` with logsumexp: slower, but without underflow."""
    reach = emissions.new_full((sizes[0], len(transitions)), -math.inf)  # (B, K)
    reach[:, start] = 0.0
    log_z = emissions.new_zeros(())
    for size, scores in zip([*sizes, 0], emissions.split([*sizes, 0]), strict=True):
        log_z = log_z + (reach[size:] + transitions[stop]).logsumexp(1).sum()
        shift = reach[:size].detach().amax(1, keepdim=True)  # (b, 1)
        log_z = log_z + shift.sum()
        reach = scores + (transitions + (reach[:size] - shift).unsqueeze(1)).logsumexp(2)  # (b, K)
    return log_z


def _pack(padded: Tensor, lengths: Tensor) -> tuple[Tensor, list[int]]:
    packed = pack_padded_sequence(padded, lengths, batch_first=True, enforce_sorted=False)
    return packed.data, packed.batch_sizes.tolist()


def _steps(tags: Tensor, lengths: Tensor, start: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return padded tags (B, T), the previous tag of each step (B, T), and each sequence's last tag (B,)."""
    lengths = lengths.to(tags.device)
    steps = torch.arange(int(lengths.max()), device=tags.device)
    right = tags.new_zeros(len(lengths), len(steps))  # (B, T)
    right[steps < lengths.unsqueeze(1)] = tags
    before = torch.cat([right.new_full((len(lengths), 1), start), right[:, :-1]], dim=1)  # (B, T)
    last = right.gather(1, lengths.unsqueeze(1) - 1).squeeze(1)  # (B,)
    return right, before, last


class _TagProbabilities(NamedTuple):
    """Intermediate results of the forward algorithm that the backward algorithm needs.

    Attributes:
        moves: exp(transitions), the largest into each tag scaled to 1, (from K, to K).
        came: Probability of the previous tag, given the tokens before this step, (N, K).
        arrive: Scaled probability of a tag, given the tokens before this step, (N, K).
        reach: Probability of a tag, given the tokens up to this step, (N, K).
        ends: Probability of each sequence's last tag, given the whole sequence, (B, K).
    """

    moves: Tensor
    came: Tensor
    arrive: Tensor
    reach: Tensor
    ends: Tensor


def _scaled(
    emissions: Tensor, transitions: Tensor, sizes: Sequence[int], start: int, stop: int
) -> tuple[Tensor, _TagProbabilities | None]:
    """Run the forward algorithm; the probabilities are None if underflow may have reduced the precision."""
    largest = transitions.amax(1)  # (K,)
    moves = (transitions - largest.unsqueeze(1)).exp().t().contiguous()  # (from K, to K)
    scores = emissions + largest  # (N, K)
    shift = scores.amax(1)  # (N,)
    before = emissions.new_zeros(sizes[0], len(transitions))
    before[:, start] = 1.0
    came, arrive, reach, totals = [], [], [], []
    for size, fit in zip(sizes, (scores - shift.unsqueeze(1)).exp().split(sizes), strict=True):
        came.append(before[:size])
        arrive.append(came[-1] @ moves)  # (b, K)
        joint = arrive[-1] * fit
        totals.append(joint.sum(1, keepdim=True))  # (b, 1)
        before = joint / totals[-1]
        reach.append(before)
    probabilities = torch.cat(reach)  # (N, K)
    ends = probabilities[_last_rows(sizes)] * (transitions[stop] - largest[stop]).exp()  # (B, K)
    finish = ends.sum(1, keepdim=True)  # (B, 1)
    total = torch.cat(totals)
    log_z = (total.squeeze(1).log() + shift).sum() + (finish.log() + largest[stop]).sum()
    arrivals = torch.cat(arrive)
    # Underflow loses less than `tiny` per term. After the divisions by a total and by an arrival the error must
    # stay below the rounding error of a sum of K terms.
    kind = torch.finfo(emissions.dtype)
    floor = math.sqrt(len(transitions) * kind.tiny / kind.eps)
    if not torch.stack([arrivals.amin(), total.amin(), finish.amin()]).amin() >= floor:
        return log_z, None
    return log_z, _TagProbabilities(moves, torch.cat(came), arrivals, probabilities, ends / finish)


def _last_rows(sizes: Sequence[int]) -> list[int]:
    """Find the row of each sequence's last step in packed data."""
    rows = [0] * sizes[0]
    for first, size, following in zip(accumulate(sizes, initial=0), sizes, [*sizes[1:], 0], strict=False):
        rows[following:size] = range(first + following, first + size)
    return rows


class _ScaledLogPartition(torch.autograd.Function):
    """The sum of log Z, with the marginals as its gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        emissions: Tensor,
        transitions: Tensor,
        log_z: Tensor,
        probabilities: _TagProbabilities,
        sizes: Sequence[int],
        stop: int,
    ) -> Tensor:
        """Return `log_z`, which was computed before."""
        ctx.save_for_backward(*probabilities)
        ctx.sizes, ctx.stop = sizes, stop
        return log_z

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Compute the marginals, which are the gradient."""
        with torch.autocast(gradient.device.type, enabled=False):
            probabilities, counts = _expected(_TagProbabilities(*ctx.saved_tensors), ctx.sizes, ctx.stop)
        return gradient * probabilities, gradient * counts, None, None, None, None


def _expected(probabilities: _TagProbabilities, sizes: Sequence[int], stop: int) -> tuple[Tensor, Tensor]:
    """Run the backward algorithm.

    Returns:
        The probability of each tag of each token given the whole sequence, (N, K), and the expected number of
        each transition in the batch, (to K, from K).
    """
    back = probabilities.moves.t()
    given = probabilities.ends[:0] @ back  # (0, K)
    marginals, shares = [], []
    steps = zip(probabilities.arrive.split(sizes), probabilities.reach.split(sizes), strict=True)
    for arrive, reach in reversed(list(steps)):
        going, ending = reach[: len(given)] * given, probabilities.ends[len(given) : len(reach)]
        marginals.append(torch.cat([going, ending]) if len(ending) else going)  # (b, K)
        shares.append(marginals[-1] / arrive)
        given = shares[-1] @ back  # (b, K)
    counts = (probabilities.moves * (probabilities.came.t() @ torch.cat(shares[::-1]))).t()  # (to K, from K)
    counts[stop] += probabilities.ends.sum(0)
    return torch.cat(marginals[::-1]), counts

"""Runs a layer over sequences with masked tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from cellzoo.runtime.auto import holds_no_data

if TYPE_CHECKING:
    from cellzoo.layer import CellRNN, States


def run_masked(
    rnn: CellRNN, inputs: Tensor, mask: Tensor | None, states: States | None, *, every: bool = False
) -> tuple[list[Tensor], States]:
    """Run each sequence as if masked tokens, at any position, were not in it.

    While torch traces or exports, control flow does not depend on the mask's values, so the result is valid for
    any mask.

    Args:
        rnn: The layer, with `batch_first`.
        inputs: (B, T, E).
        mask: (B, T), 0 for tokens to skip; None to skip none.
        states: Initial states, as for the layer.
        every: Whether to return the outputs of every layer, not only those of the last one.

    Returns:
        Outputs (B, T, num_directions * H) of the layers in order; at a masked token, that of the last kept
        token before it, or zeros if there is none. And the states after the last token of each sequence: the
        initial states if all its tokens are masked.
    """
    if mask is not None and holds_no_data(inputs, mask):
        outputs, final = rnn.forward_layers(inputs, states, kept=mask != 0)
        return [cast("Tensor", output) for output in (outputs if every else outputs[-1:])], final
    if mask is None or bool(mask.all()):
        whole, final = _run(rnn, inputs, states, every)
        return [cast("Tensor", output) for output in whole], final
    kept = mask != 0
    so_far = kept.cumsum(dim=1)  # (B, T)
    lengths = so_far[:, -1]
    order = (~kept).int().argsort(dim=1, stable=True)  # (B, T), the kept ones first
    moved = inputs.gather(1, order.unsqueeze(2).expand_as(inputs))
    # A packed sequence needs at least one token; results of sequences without one are replaced below.
    packed = pack_padded_sequence(moved, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False)
    parts, final = _run(rnn, packed, states, every)
    place = (so_far - 1).clamp(min=0).unsqueeze(2)
    nothing = (so_far == 0).unsqueeze(2)

    def laid_out(part: PackedSequence) -> Tensor:
        padded, _ = pad_packed_sequence(part, batch_first=True)  # (B, longest, num_directions * H)
        return padded.gather(1, place.expand(-1, -1, padded.size(2))).masked_fill(nothing, 0.0)

    laid = [laid_out(cast("PackedSequence", part)) for part in parts]
    return laid, final if bool(lengths.all()) else _kept_states(final, states, lengths == 0)


def _run(
    rnn: CellRNN, given: Tensor | PackedSequence, states: States | None, every: bool
) -> tuple[list[Tensor | PackedSequence], States]:
    if every:
        return rnn.forward_layers(given, states)
    output, final = rnn(given, states)
    return [output], final


def _kept_states(final: States, initial: States | None, empty: Tensor) -> States:
    """The final states, with the initial ones for empty sequences; `empty` is (B,)."""
    after = final if isinstance(final, tuple) else (final,)
    if initial is None:
        before = tuple(torch.zeros_like(state) for state in after)
    else:
        before = initial if isinstance(initial, tuple) else (initial,)
    chosen = tuple(torch.where(empty.view(1, -1, 1), old, new) for old, new in zip(before, after, strict=True))
    return chosen if isinstance(final, tuple) else chosen[0]

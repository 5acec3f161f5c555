"""Run a layer over sequences of which a mask keeps some tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

if TYPE_CHECKING:
    from torch import Tensor

    from cellzoo.layer import CellRNN, States


def run_masked(
    rnn: CellRNN, inputs: Tensor, mask: Tensor | None, states: States | None
) -> tuple[Tensor, States]:
    """Run each sequence as if the tokens that are masked were not there, wherever they stand.

    Args:
        rnn: The layer, with `batch_first`.
        inputs: (B, T, E).
        mask: (B, T), 0 for what is to be skipped; None to skip nothing.
        states: Initial states, as the layer takes them.

    Returns:
        Outputs (B, T, num_directions * H); at a masked token, that of the last token before it which is
        kept, or zeros if there is none. And the states after each sequence's last token.

    Raises:
        ValueError: A sequence keeps no token.
    """
    if mask is None or bool(mask.all()):
        return rnn(inputs, states)
    kept = mask != 0
    lengths = kept.sum(dim=1)  # (B,)
    if not bool(lengths.all()):
        row = int(lengths.argmin())
        raise ValueError(f"attention_mask: row {row} keeps no token; each sequence needs at least one")
    order = (~kept).int().argsort(dim=1, stable=True)  # (B, T), the kept ones first
    moved = inputs.gather(1, order.unsqueeze(2).expand_as(inputs))
    packed = pack_padded_sequence(moved, lengths.cpu(), batch_first=True, enforce_sorted=False)
    output, final = rnn(packed, states)
    padded, _ = pad_packed_sequence(output, batch_first=True)  # (B, longest, num_directions * H)
    so_far = kept.cumsum(dim=1)  # (B, T)
    place = (so_far - 1).clamp(min=0).unsqueeze(2).expand(-1, -1, padded.size(2))
    return padded.gather(1, place).masked_fill((so_far == 0).unsqueeze(2), 0.0), final

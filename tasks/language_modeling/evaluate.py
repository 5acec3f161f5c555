"""Measure a language model: one negative log-likelihood for every word of a text."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from tasks.language_modeling.softmax import PADDING
from tasks.language_modeling.streams import evaluation_streams

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tasks.language_modeling.model import LanguageModel
    from tasks.problem import Carry

SEGMENT = 64
"""Steps that are computed at once; the state is carried, so the number changes memory only."""


def word_losses(
    model: LanguageModel,
    words: Tensor,
    before: int,
    *,
    streams: int = 1,
    context: int = 0,
    segment: int = SEGMENT,
    report: Callable[[float], None] = lambda fraction: None,
) -> Tensor:
    """Negative log-likelihood of every word, in the order of the text.

    The text is read in pieces side by side. Each starts from the state that the model has after up to `context`
    words before it, read from a zero state; where these reach back to the start of the text, the result is that
    of reading the text in one piece. The model is put into evaluation mode and back into the mode it was in.

    Args:
        model: On any device.
        words: Word numbers, (N,).
        before: Number of the word that stands before the text.
        streams: Pieces.
        context: Words.
        segment: Steps that are computed at once.
        report: Takes the fraction that is done.

    Returns:
        (N,) in nats, float64 on the CPU.

    Raises:
        DataError: The text is empty.
    """
    cut = evaluation_streams(words, before, min(streams, max(1, words.numel()))).to(model.embedding.device)
    length = cut.inputs.shape[0]
    pieces = []
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            hidden = _first_states(model, cut.inputs, context, segment)
            for start in range(0, length, segment):
                encoded = model.encode(cut.inputs[start : start + segment], hidden)
                hidden = encoded.hidden
                pieces.append(model.losses(encoded.dropped, cut.targets[start : start + segment]))  # (T, B)
                report(min(1.0, (start + segment) / length))
    finally:
        model.train(was_training)
    return torch.cat(pieces).t()[cut.targets.t() != PADDING].double().cpu()  # (N,)


def perplexity(loss: float) -> float:
    """Exponential of a mean loss in nats a word; infinite where that is too large to say."""
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf


def _first_states(model: LanguageModel, inputs: Tensor, context: int, segment: int) -> Carry:
    """States that pieces start from; None where all are zero.

    Args:
        model: In evaluation mode.
        inputs: Of the pieces, (T, B).
        context: Most words that are read before a piece.
        segment: Steps that are computed at once.
    """
    length, streams = inputs.shape
    if context == 0 or streams == 1:
        return None
    text = inputs.t().flatten()  # (B * T,)
    columns: dict[int, list[int]] = defaultdict(list)
    for column in range(1, streams):
        columns[min(context, column * length)].append(column)
    states: list[Carry] = []
    for size, group in columns.items():
        tokens = torch.stack([text[column * length - size : column * length] for column in group], dim=1)
        hidden: Carry = None
        for part in tokens.split(segment):  # (T, B)
            hidden = model.read(part, hidden)[1]
        states.append(hidden)
    zero = _map(lambda parts: torch.zeros_like(parts[0][:, :1]), states[:1])
    return _map(lambda parts: torch.cat(list(parts), dim=1), [zero, *states])


def _map(function: Callable[[Sequence[Tensor]], Tensor], states: Sequence[Carry]) -> Carry:
    """Apply a function to tensors that stand at the same place in states of the same form."""
    if isinstance(states[0], Tensor):
        return function(cast("Sequence[Tensor]", states))
    return tuple(_map(function, cast("Any", parts)) for parts in zip(*states, strict=True))

"""Evaluate a language model: the negative log-likelihood of every word of a text."""

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
"""Steps per forward pass; the state is carried over, so this affects memory only."""


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
    """Compute the negative log-likelihood of every word, in the order of the text.

    The text is cut into `streams` parts that are read in parallel. The initial state of each part is computed
    by reading up to `context` words before it from a zero state; if these reach back to the start of the text,
    the result is the same as with a single stream. The model runs in evaluation mode; its mode is restored.

    Args:
        model: The model, on any device.
        words: Word numbers, (N,).
        before: Number of the word before the text.
        streams: Number of parts.
        context: Maximum number of words that are read before each part.
        segment: Steps per forward pass.
        report: Called with the fraction done.

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
    """Return the exponential of a mean loss in nats per word; infinity if it overflows."""
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf


def _first_states(model: LanguageModel, inputs: Tensor, context: int, segment: int) -> Carry:
    """Compute the initial states of the parts; None if all are zero.

    Args:
        model: The model in evaluation mode.
        inputs: Inputs of the parts, (T, B).
        context: Maximum number of words that are read before each part.
        segment: Steps per forward pass.
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
    """Apply a function to the corresponding tensors of several states of the same structure."""
    if isinstance(states[0], Tensor):
        return function(cast("Sequence[Tensor]", states))
    return tuple(_map(function, cast("Any", parts)) for parts in zip(*states, strict=True))

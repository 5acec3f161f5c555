"""Measure a language model: one negative log-likelihood for every word of a text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from cellzoo.errors import RunError
from tasks.language_modeling.streams import PADDING, segments

if TYPE_CHECKING:
    from torch import Tensor

    from tasks.language_modeling.model import CellLanguageModel, Hidden
    from tasks.language_modeling.streams import Streams

SEGMENT = 64
"""Steps that are computed at once; the state is carried, so the number changes memory only."""


def word_losses(model: CellLanguageModel, streams: Streams) -> Tensor:
    """Negative log-likelihood of every word, in the order of the text.

    The model is put into evaluation mode and back into the mode it was in.

    Args:
        model: On any device.
        streams: From `evaluation_streams`.

    Returns:
        (N,) in nats, float64 on the CPU; padding is left out.
    """
    streams = streams.to(model.embedding.device)
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            losses = _losses(model, streams)  # (T, B)
    finally:
        model.train(was_training)
    return losses.t()[streams.targets.t() != PADDING].double().cpu()  # (N,)


def perplexity(losses: Tensor) -> float:
    """Exponential of the mean negative log-likelihood over all words.

    Args:
        losses: Negative log-likelihood of each word, (N,), in nats.

    Raises:
        RunError: It is no finite number, so the model has diverged.
    """
    mean = losses.mean().item()
    try:
        value = math.exp(mean)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise RunError(f"the model has diverged: its loss is {mean:g} nats a word")
    return value


def _losses(model: CellLanguageModel, streams: Streams) -> Tensor:
    hidden: Hidden | None = None
    pieces = []
    for start, stop in segments(streams.inputs.shape[0], SEGMENT):
        output = model(streams.inputs[start:stop], hidden)
        hidden = output.hidden
        targets = streams.targets[start:stop]
        loss = F.cross_entropy(
            output.logits.flatten(0, 1), targets.flatten(), reduction="none", ignore_index=PADDING
        )
        pieces.append(loss.view_as(targets))
    return torch.cat(pieces)

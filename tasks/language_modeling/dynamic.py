"""Dynamic evaluation: a language model is trained on each part of the test text after predicting it.

Krause et al. 2018, "Dynamic evaluation of neural sequence models" (arXiv 1709.07432): their update rule with
root mean squares of gradients and a decay towards the trained weights (equations 4 to 6).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tasks.language_modeling.model import detach
from tasks.language_modeling.streams import evaluation_streams, training_streams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import nn

    from tasks.language_modeling.model import LanguageModel
    from tasks.problem import Carry


@dataclass(frozen=True)
class DynamicRule:
    """Hyperparameters of the update rule.

    Attributes:
        rate: Learning rate, eta in the paper.
        decay: Strength of the decay towards the trained weights, lambda in the paper.
        epsilon: Added to the root mean squares of gradients.
        segment: Words between two updates.
        streams: Parallel streams of training text from which mean squares of gradients are computed.
        batches: Maximum number of segments of these; 0 for the whole text.
    """

    rate: float = 0.002
    decay: float = 0.02
    epsilon: float = 1e-3
    segment: int = 5
    streams: int = 100
    batches: int = 0


def dynamic_losses(
    model: LanguageModel,
    words: Tensor,
    before: int,
    training: Tensor,
    rule: DynamicRule,
    report: Callable[[float], None] = lambda fraction: None,
) -> Tensor:
    """Compute the negative log-likelihood of every word, predicted before the weights are updated with it.

    The text is read as a single stream, so the result depends on no batch size. The weights are restored
    afterwards.

    Args:
        model: The trained model, on any device.
        words: Word numbers, (N,).
        before: Number of the word before the text.
        training: The training text, from which the mean squares of gradients are computed, (M,).
        rule: Hyperparameters.
        report: Called with the fraction done.

    Returns:
        (N,) in nats, float64 on the CPU.
    """
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    trained = [weight.detach().clone() for weight in weights]
    was_training = model.training
    model.eval()
    pieces = []
    try:
        roots = _root_mean_squares(model, weights, training, before, rule)
        average = sum(root.mean().item() for root in roots) / len(roots)
        pulls = [(rule.decay * root / average).clamp(max=1.0) for root in roots]
        text = evaluation_streams(words, before, 1).to(model.embedding.device)
        for start, losses in _segments(model, text.inputs, text.targets, rule.segment):
            pieces.append(losses.detach().double().cpu())
            gradients = torch.autograd.grad(losses.mean(), weights, allow_unused=True)
            with torch.no_grad():
                for weight, gradient, root, pull, first in zip(
                    weights, gradients, roots, pulls, trained, strict=True
                ):
                    change = pull * (first - weight)
                    if gradient is not None:
                        change -= rule.rate * gradient / (root + rule.epsilon)
                    weight.add_(change)
            report(min(1.0, (start + rule.segment) / words.numel()))
    finally:
        with torch.no_grad():
            for weight, first in zip(weights, trained, strict=True):
                weight.copy_(first)
        model.train(was_training)
    return torch.cat(pieces)


def _root_mean_squares(
    model: LanguageModel, weights: Sequence[nn.Parameter], training: Tensor, before: int, rule: DynamicRule
) -> list[Tensor]:
    """Compute the root mean square of the gradient of each weight for a single stream.

    The gradient of a mean over S streams is smaller by a factor of sqrt(S); multiplying by sqrt(S) corrects for
    this, and is equivalent to the scaling of learning rates in the authors' code.
    """
    streams = max(1, min(rule.streams, training.numel() // rule.segment))
    text = training_streams(training, before, streams).to(model.embedding.device)
    squares = [torch.zeros_like(weight) for weight in weights]
    count = 0
    for _, losses in _segments(model, text.inputs, text.targets, rule.segment):
        for square, gradient in zip(
            squares, torch.autograd.grad(losses.mean(), weights, allow_unused=True), strict=True
        ):
            if gradient is not None:
                square += gradient.square()
        count += 1
        if count == rule.batches:
            break
    return [(square / count * streams).sqrt() for square in squares]


def _segments(model: LanguageModel, inputs: Tensor, targets: Tensor, size: int) -> Iterator[tuple[int, Tensor]]:
    """Yield the start and the flat losses of each segment; the state is carried over and detached."""
    hidden: Carry = None
    for start in range(0, inputs.shape[0], size):
        encoded = model.encode(inputs[start : start + size], hidden)
        hidden = detach(encoded.hidden)
        yield start, model.losses(encoded.dropped, targets[start : start + size]).flatten()

"""Problems that are small enough to compute by hand, for search methods."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from tasks.metric import Metric
from tasks.problem import Batch, BatchLoss, Evaluation, LayerSpec


class TiedText(nn.Module):
    """A language model of V words: embedding, recurrent layer, decoder with the same matrix."""

    tied_weights = ("encoder",)

    def __init__(self, rnn, words, generator):
        super().__init__()
        self.rnn = rnn
        dtype = next(rnn.parameters()).dtype
        drawn = torch.rand(words, rnn.hidden_size, generator=generator, dtype=torch.float64)
        self.encoder = nn.Parameter((0.2 * drawn - 0.1).to(dtype))
        self.bias = nn.Parameter(torch.zeros(words, dtype=dtype))

    def forward(self, tokens, hidden=None):
        output, last = self.rnn(F.embedding(tokens, self.encoder), hidden)
        return F.linear(output, self.encoder, self.bias), last


class Text:
    """Segments of a text of numbers, each (T, B) inputs and targets."""

    name = "small-text"
    metrics = (Metric("perplexity", "perplexity", higher_is_better=False),)
    selection = "loss"

    def __init__(self, words, train, validation, layer=None):
        self.words = words
        self.train = train
        self.validation = validation
        self.steps = len(train)
        self.facts = {"words": words}
        self.layer = layer or LayerSpec(4, 4, dtype=torch.float64)

    def model(self, rnn, generator):
        return TiedText(rnn, self.words, generator)

    def train_batches(self, generator):
        for index, content in enumerate(self.train):
            yield Batch(content, tokens=content[0].numel(), starts=index == 0)

    def validation_batches(self, generator):
        while True:
            for index, content in enumerate(self.validation):
                yield Batch(content, tokens=content[0].numel(), starts=index == 0)

    def loss(self, model, batch, carry):
        inputs, targets = batch.content
        logits, last = model(inputs, carry)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        carry = last.detach() if isinstance(last, torch.Tensor) else tuple(state.detach() for state in last)
        return BatchLoss(loss, loss, carry)

    @torch.no_grad()
    def evaluate(self, model, split, report=lambda fraction: None):
        was_training = model.training
        model.eval()
        losses, carry = [], None
        for content in self.validation:
            result = self.loss(model, Batch(content, content[0].numel()), carry)
            carry = result.carry
            losses.append(result.loss.item())
        model.train(was_training)
        loss = sum(losses) / len(losses)
        return Evaluation({"loss": loss, "perplexity": math.exp(loss)})

    def embedding_parameters(self, model):
        return model.encoder.numel()

    def vectors(self, model):
        return None


def periodic_text(words=5, batches=3, steps=6, streams=4, layer=None):
    """Every word follows the one before it by a rule, but for a stream's first."""

    def segments(offset):
        found = []
        for batch in range(batches):
            start = torch.arange(streams) * 3 + offset + batch * steps
            row = (start.unsqueeze(0) + torch.arange(steps + 1).unsqueeze(1) * 2) % words
            found.append((row[:-1], row[1:]))
        return found

    return Text(words, segments(0), segments(1), layer)


def drive(method, problem, epochs=1, first=0, of=None):
    """Run some epochs as a search does; returns all numbers."""
    numbers = []
    for epoch in range(first, epochs):
        numbers.append(method.start_epoch(epoch, of or epochs))
        generator = torch.Generator().manual_seed(1000 + epoch)
        validation = problem.validation_batches(generator)
        numbers += [method.step(batch, validation) for batch in problem.train_batches(generator)]
        numbers.append(method.end_epoch(validation))
    return numbers

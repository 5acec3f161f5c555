"""A task whose best cell is known: labels are drawn from the output of a hidden cell.

A hidden cell of the space reads random inputs; its output h_t, through a fixed decoder, gives the logits of
a label y_t, which is drawn from their softmax. Every candidate has the matrices of the hidden cell and keeps
them: W_0 reads x and h, W_i belongs to node i, the gates' matrices to their steps back. What is searched is
which operations read which states. Only the decoder is learned.

Why the hidden cell is the best: cross-entropy is at least the entropy of the labels given the past (Gibbs), and
equal to it only for a model whose probabilities are those that the labels were drawn with. The hidden cell with
its own decoder is that model. Another cell of the space has other outputs for the same inputs, and a linear map
of them would have to give the same logits at every step.
"""

from __future__ import annotations

import re

import torch
import torch.nn.functional as F
from torch import nn

from search.supernets.network import Supernet
from tasks.metric import Metric
from tasks.problem import Batch, BatchLoss, Evaluation, LayerSpec

INPUT, HIDDEN, LABELS = 6, 8, 6
STEPS, STREAMS, BATCHES = 6, 48, 10
WEIGHT_SCALE, LOGIT_SCALE = 1.5, 12.0


class HiddenCell:
    """The problem.

    Args:
        rnn: Of the hidden cell, without weights yet: a `CellRNN`.
        layout: Of the supernet that holds it, for the shapes of the matrices.
        seed: Decides matrices, decoder, inputs and labels.
    """

    name = "hidden-cell"
    metrics = (Metric("excess", "loss (nats)", higher_is_better=False),)
    selection = "loss"
    layer = LayerSpec(INPUT, HIDDEN)
    steps = BATCHES

    def __init__(self, rnn, layout, seed):
        generator = torch.Generator().manual_seed(seed)
        self.facts = {"labels": LABELS}
        self.matrices = {
            name: WEIGHT_SCALE * torch.randn(shape, generator=generator) / shape[-2] ** 0.5
            for name, shape in layout.weight_shapes(INPUT, HIDDEN).items()
        }
        self.hold(rnn)
        decoder = torch.randn(HIDDEN, LABELS, generator=generator) * LOGIT_SCALE / HIDDEN**0.5
        self.train, self.validation, self.test = (
            [self._draw(rnn, decoder, generator) for _ in range(BATCHES)] for _ in range(3)
        )
        logits = torch.cat([content[2] for content in self.test])
        self.entropy = -(logits.softmax(-1) * logits.log_softmax(-1)).sum(-1).mean().item()

    def hold(self, rnn):
        """Give a layer the matrices, and keep them there."""
        if isinstance(rnn, Supernet):
            weights = dict(rnn.directions[0].weights.items())
            for name, matrix in self.matrices.items():
                weights[name].requires_grad_(False).copy_(matrix)
            return
        for name, weight in rnn.direction(0).weights.items():
            weight.requires_grad_(False).copy_(self._matrix(name).T)

    def _matrix(self, name):
        """The matrix of a weight of a cell: `c2_s1` is the half of W_2 that makes a gate."""
        if name.startswith("gate_"):
            return self.matrices[name.replace("gate_h", "past_inputs").replace("gate_x", "past_states")]
        kind, node, rest = re.fullmatch(r"([cu])(\d+)(.*)", name).groups()
        key = f"w{node}" if node != "0" else "w0_x" if "x" in rest else "w0_h"
        return self.matrices[key].chunk(2, dim=1)[kind == "u"]

    @torch.no_grad()
    def _draw(self, rnn, decoder, generator):
        x = torch.randn(STEPS, STREAMS, INPUT, generator=generator)
        logits = rnn(x)[0] @ decoder  # (T, B, V)
        labels = torch.multinomial(logits.softmax(-1).flatten(0, 1), 1, generator=generator)
        return x, labels.view(STEPS, STREAMS), logits.flatten(0, 1)

    def model(self, rnn, generator):
        self.hold(rnn)
        return _Decoded(rnn)

    def train_batches(self, generator):
        order = torch.randperm(BATCHES, generator=generator).tolist()
        yield from (Batch(self.train[index], STEPS * STREAMS) for index in order)

    def validation_batches(self, generator):
        while True:
            order = torch.randperm(BATCHES, generator=generator).tolist()
            yield from (Batch(self.validation[index], STEPS * STREAMS) for index in order)

    def loss(self, model, batch, carry):
        x, labels, _ = batch.content
        loss = F.cross_entropy(model(x).flatten(0, 1), labels.flatten())
        return BatchLoss(loss, loss)

    def evaluate(self, model, split, report=lambda fraction: None):
        return Evaluation({"loss": self._mean_loss(model, self.validation)})

    def quality(self, rnn):
        """Test loss above the entropy of the labels, with a decoder that was fitted to all training data."""
        self.hold(rnn)
        model = _Decoded(rnn)
        with torch.no_grad():
            outputs = torch.cat([rnn(content[0])[0].flatten(0, 1) for content in self.train])
        labels = torch.cat([content[1].flatten() for content in self.train])
        optimizer = torch.optim.LBFGS(model.decoder.parameters(), max_iter=200)

        def closure():
            optimizer.zero_grad()
            loss = F.cross_entropy(model.decoder(outputs), labels)
            loss.backward()
            return loss

        optimizer.step(closure)
        return self._mean_loss(model, self.test) - self.entropy

    @torch.no_grad()
    def _mean_loss(self, model, contents):
        was_training = model.training
        model.eval()
        losses = [self.loss(model, Batch(content, STEPS * STREAMS), None).loss.item() for content in contents]
        model.train(was_training)
        return sum(losses) / len(losses)


class _Decoded(nn.Module):
    def __init__(self, rnn):
        super().__init__()
        self.rnn = rnn
        self.decoder = nn.Linear(HIDDEN, LABELS)
        nn.init.zeros_(self.decoder.weight)
        nn.init.zeros_(self.decoder.bias)

    def forward(self, x):
        return self.decoder(self.rnn(x)[0])

"""A toy problem: predict the sum of each sequence so far. One file, as any new problem is."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from tasks.metric import Metric
from tasks.problem import Batch, BatchLoss, Evaluation, LayerSpec, Outline, ProblemKind
from tasks.settings import Count, Positive, Size
from tasks.settings import Settings as BaseSettings

METRICS = (Metric("error", "mean squared error", higher_is_better=False, digits=4),)


class Settings(BaseSettings):
    hidden_size: Size = 8
    sequences: Size = 64
    length: Size = 6
    batch_size: Size = 16
    spread: Positive = 1.0
    data_seed: Count = 5


class SumModel(nn.Module):
    def __init__(self, rnn, width, generator):
        super().__init__()
        self.rnn = rnn
        drawn = torch.rand(width, generator=generator, dtype=torch.float64)
        dtype = next(rnn.parameters(), torch.zeros(())).dtype
        self.output = nn.Parameter(((2 * drawn - 1) / width**0.5).to(dtype))

    def forward(self, numbers, carry=None):
        outputs, _ = self.rnn(numbers.unsqueeze(2), carry)  # (T, B, H)
        return outputs @ self.output  # (T, B)


class SequenceSums:
    """Squared errors; an item is a sequence."""

    name = "sequence-sums"
    metrics = METRICS
    selection = "error"

    def __init__(self, settings, device):
        self.settings = settings
        self.layer = LayerSpec(1, settings.hidden_size, device=device)
        generator = torch.Generator().manual_seed(settings.data_seed)
        shape = (settings.length, settings.sequences)
        self.data = {
            split: (settings.spread * torch.randn(shape, generator=generator)).to(device)  # (T, N)
            for split in ("train", "dev", "test")
        }
        self.steps = -(-settings.sequences // settings.batch_size)
        self.facts = {"sequences": settings.sequences}

    def model(self, rnn, generator):
        width = self.layer.hidden_size * (2 if self.layer.bidirectional else 1)
        return SumModel(rnn, width, generator).to(self.layer.device)

    def train_batches(self, generator):
        yield from self._batches("train", torch.randperm(self.settings.sequences, generator=generator))

    def validation_batches(self, generator):
        while True:
            yield from self._batches("dev", torch.randperm(self.settings.sequences, generator=generator))

    def _batches(self, split, order):
        for rows in order.split(self.settings.batch_size):
            numbers = self.data[split][:, rows]  # (T, B)
            yield Batch(numbers, tokens=numbers.numel())

    def loss(self, model, batch, carry):
        loss = F.mse_loss(model(batch.content), batch.content.cumsum(0))
        return BatchLoss(loss, loss)

    def evaluate(self, model, split, report=lambda fraction: None):
        was_training = model.training
        model.eval()
        with torch.no_grad():
            numbers = self.data[split]
            errors = (model(numbers) - numbers.cumsum(0)).square().mean(0)  # (N,)
        model.train(was_training)
        report(1.0)
        error = errors.double().mean().item()
        items = [
            {"split": split, "index": index, "error": value} for index, value in enumerate(errors.tolist())
        ]
        return Evaluation({"loss": error, "error": error}, items)

    def embedding_parameters(self, model):
        return 0

    def vectors(self, model):
        return None


KIND = ProblemKind(
    name="sequence-sums",
    summary="sums of random sequences",
    settings=Settings,
    outline=lambda settings: Outline((), METRICS, "error"),
    build=lambda data, settings, device, cache=None: SequenceSums(settings, device),
)

"""Fit a language model to a text by truncated back-propagation through time."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from cellzoo.errors import DataError, RunError
from tasks.language_modeling.checkpoint import Progress, load_checkpoint, save_checkpoint
from tasks.language_modeling.evaluate import perplexity, word_losses
from tasks.language_modeling.model import detach
from tasks.language_modeling.streams import segments

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    from tasks.language_modeling.model import CellLanguageModel, Hidden, LanguageModelOutput
    from tasks.language_modeling.settings import LanguageModelSettings
    from tasks.language_modeling.streams import Streams

REPORTS_AN_EPOCH = 25


@dataclass(frozen=True)
class Training:
    """What came of a training; the model holds the weights of the best epoch.

    Attributes:
        best_epoch: The epoch (from 1) with the lowest dev perplexity.
        tokens: Words trained on, over all epochs.
        seconds: Wall seconds of all epochs, those before a kill included.
        history: One JSON object an epoch.
    """

    best_epoch: int
    tokens: int
    seconds: float
    history: list[dict[str, Any]]


def train(
    model: CellLanguageModel,
    training: Streams,
    dev: Streams,
    settings: LanguageModelSettings,
    *,
    generator: torch.Generator,
    checkpoint: Path,
    identity: str,
    report: Callable[[float, str], None],
) -> Training:
    """Train `model` and leave it with the weights of its best epoch on dev.

    The hidden state is carried from segment to segment and starts from zeros in each epoch. Dropout masks
    come from torch's default generator, which is seeded here from `generator` and put back at the end.

    Args:
        model: With its first weights, on the device to train on.
        training: From `training_streams`.
        dev: From `evaluation_streams`.
        settings: See there.
        generator: A CPU generator that decides all chance of the training.
        checkpoint: Written after every epoch. If it is there, the training goes on from it and ends with
            the same weights, bit for bit, as one that was never stopped. If it is damaged or belongs to
            another training, that is reported and the training starts afresh.
        identity: What this training is (a hash of all that decides its result).
        report: Takes (share that is done, a few words).

    Raises:
        RunError: The loss is no finite number.
        OutputError: The checkpoint cannot be written.
    """
    device = model.embedding.device
    gpus = [device.index] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        trainer = _Trainer(model, training.to(device), dev.to(device), settings, generator, report)
        if checkpoint.exists():
            trainer.resume(checkpoint, identity)
        while trainer.progress.epoch < settings.epochs:
            trainer.epoch()
            save_checkpoint(checkpoint, identity, model, trainer.optimizer, generator, trainer.progress)
    progress = trainer.progress
    model.load_state_dict(progress.best_weights)
    return Training(
        best_epoch=progress.best_epoch,
        tokens=training.targets.numel() * settings.epochs,
        seconds=sum(epoch["seconds"] for epoch in progress.history),
        history=progress.history,
    )


def segment_loss(
    output: LanguageModelOutput, targets: Tensor, alpha: float, beta: float
) -> tuple[Tensor, Tensor]:
    """Mean loss over the words of a segment, and the same with the penalties on activations.

    Activation regularisation is `alpha` times the mean square of the dropped outputs, temporal activation
    regularisation `beta` times the mean square of the change of the raw outputs from step to step (Merity
    et al., arXiv 1708.01009).

    Args:
        output: Of the model.
        targets: (T, B).
        alpha: Weight of the first penalty.
        beta: Weight of the second.

    Returns:
        The negative log-likelihood in nats a word, and what to minimise.
    """
    loss = F.cross_entropy(output.logits.flatten(0, 1), targets.flatten())
    objective = loss
    if alpha:
        objective = objective + alpha * output.dropped.square().mean()
    if beta and output.raw.shape[0] > 1:
        objective = objective + beta * (output.raw[1:] - output.raw[:-1]).square().mean()
    return loss, objective


class _Trainer:
    def __init__(
        self,
        model: CellLanguageModel,
        training: Streams,
        dev: Streams,
        settings: LanguageModelSettings,
        generator: torch.Generator,
        report: Callable[[float, str], None],
    ) -> None:
        self.model = model
        self.training = training
        self.dev = dev
        self.settings = settings
        self.generator = generator
        self.report = report
        self.progress = Progress(learning_rate=settings.learning_rate)
        self.optimizer = _optimizer(model, settings)

    def resume(self, checkpoint: Path, identity: str) -> None:
        """Go on from a checkpoint, or say why not."""
        try:
            self.progress = load_checkpoint(checkpoint, identity, self.model, self.optimizer, self.generator)
        except DataError as error:
            self.report(0.0, f"starting afresh: {error}")

    def epoch(self) -> None:
        """Train on the whole text once, measure on dev, keep the weights if they are the best so far."""
        progress, started = self.progress, time.monotonic()
        train_loss = self._train_on_text()
        losses = word_losses(self.model, self.dev)
        try:
            dev_perplexity = perplexity(losses)
        except RunError as error:
            raise RunError(f"dev, after epoch {progress.epoch + 1}: {error}; {self._advice()}") from error
        dev_loss = losses.mean().item()
        progress.epoch += 1
        learning_rate = progress.learning_rate
        if dev_loss < progress.best_loss:
            progress.best_epoch, progress.best_loss = progress.epoch, dev_loss
            progress.best_weights = {
                name: tensor.cpu().clone() for name, tensor in self.model.state_dict().items()
            }
        else:
            progress.learning_rate *= self.settings.anneal
        progress.history.append(
            {
                "epoch": progress.epoch,
                "train_loss": train_loss,
                "dev_perplexity": dev_perplexity,
                "learning_rate": learning_rate,
                "seconds": time.monotonic() - started,
            }
        )
        self.report(progress.epoch / self.settings.epochs, self._words())

    def _train_on_text(self) -> float:
        """One pass; returns the mean training loss in nats a word (with dropout)."""
        model, settings = self.model, self.settings
        length, streams = self.training.inputs.shape
        total, reported = 0.0, 0
        hidden: Hidden | None = None
        model.train()
        generator = self.generator if settings.jitter else None
        for batch, (start, stop) in enumerate(segments(length, settings.bptt, generator), start=1):
            output = model(self.training.inputs[start:stop], None if hidden is None else detach(hidden))
            hidden = output.hidden
            loss, objective = segment_loss(
                output, self.training.targets[start:stop], settings.alpha, settings.beta
            )
            value = loss.item()
            if not math.isfinite(value):
                raise RunError(
                    f"the training loss is {value} in epoch {self.progress.epoch + 1}, batch {batch}; "
                    + self._advice()
                )
            self.optimizer.zero_grad()
            objective.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
            for group in self.optimizer.param_groups:
                group["lr"] = self.progress.learning_rate * (stop - start) / settings.bptt
            self.optimizer.step()
            total += value * (stop - start) * streams
            if stop * REPORTS_AN_EPOCH // length > reported:
                reported = stop * REPORTS_AN_EPOCH // length
                done = (self.progress.epoch + stop / length) / settings.epochs
                self.report(done, self._words())
        return total / (length * streams)

    def _words(self) -> str:
        progress = self.progress
        now = min(progress.epoch + 1, self.settings.epochs)
        if not progress.best_epoch:
            return f"epoch {now}/{self.settings.epochs}"
        return f"epoch {now}/{self.settings.epochs}, dev ppl {math.exp(progress.best_loss):.0f}"

    def _advice(self) -> str:
        if self.progress.epoch:
            kept = f"the checkpoint of epoch {self.progress.epoch} is kept"
        else:
            kept = "there is no checkpoint yet"
        rate = f"learning_rate = {self.settings.learning_rate:g}, clip = {self.settings.clip:g}"
        return f"try a smaller learning rate or clip ({rate}); {kept}"


def _optimizer(model: CellLanguageModel, settings: LanguageModelSettings) -> torch.optim.Optimizer:
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[settings.optimizer]
    return kind(model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)

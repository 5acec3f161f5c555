"""Training a tagger with Flair's trainer so that a run which is killed goes on exactly where it was.

Flair 0.15.1 cannot resume. The plugin here keeps, after each epoch, the weights, the optimizer, the
learning rate schedule, all random generators, the history and the best weights so far, and puts them back
before the first step. It also does what the trainer would do less well: dev scores that start at the first
epoch (the trainer keeps no model while the dev F1 is 0), no progress bars, no pickle files.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from flair.data import Corpus
from flair.datasets import FlairDatapointDataset
from flair.trainers import ModelTrainer
from flair.trainers.plugins import TrainerPlugin, TrainingInterrupt
from flair.training_utils import AnnealOnPlateau

from cellzoo.errors import DataError, RunError
from tasks.tagging.checkpoint import Checkpoint, random_state, restore_random
from tasks.tagging.evaluation import evaluate
from tasks.tagging.scores import micro
from tasks.training.optimizer_state import optimizer_state, restore_optimizer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from flair.data import Sentence
    from flair.trainers.plugins import MetricRecord

    from tasks.tagging.checkpoint import CheckpointFile
    from tasks.tagging.settings import TaggerSettings
    from tasks.tagging.tagger import CellTagger
    from tasks.task import Json

_OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
_SCHEDULE = ("best", "best_aux", "num_bad_epochs", "effective_patience", "cooldown_counter", "last_epoch")


@dataclass
class Progress:
    """What a run has done so far.

    Attributes:
        epoch: Epochs done.
        finished: Whether training has ended.
        best_epoch: The epoch with the highest dev F1; the first of them.
        best_f1: Its dev F1 in percent; below 0 before the first epoch's.
        seconds_train: Seconds of all training, over all processes that took part.
        seconds_dev: The same for scoring the development data.
        history: One entry an epoch.
    """

    epoch: int = 0
    finished: bool = False
    best_epoch: int = 0
    best_f1: float = -1.0
    seconds_train: float = 0.0
    seconds_dev: float = 0.0
    history: list[dict[str, Json]] = field(default_factory=list)


def train(
    tagger: CellTagger,
    training: Sequence[Sentence],
    development: Sequence[Sentence],
    settings: TaggerSettings,
    checkpoint: CheckpointFile,
    folder: Path,
    report: Callable[[float, str], None],
) -> Progress:
    """Train on `training` alone and leave the tagger with the weights of the best epoch on `development`.

    Args:
        tagger: A fresh tagger; the global generators are seeded already.
        training: Sentences to train on.
        development: Sentences to choose the epoch by and to anneal the learning rate by.
        settings: How to train.
        checkpoint: Read before training, written after each epoch.
        folder: For the trainer's own files.
        report: Takes the fraction of the training that is done, and a few words.

    Raises:
        RunError: The loss is no longer a finite number.
        KeyboardInterrupt: The user ended the training; its checkpoint stays.
    """
    plugin = ResumableTraining(checkpoint, development, settings, report)
    plugin.find_checkpoint(tagger)
    if not plugin.progress.finished:
        corpus = Corpus(train=FlairDatapointDataset(list(training)), sample_missing_splits=False)
        ModelTrainer(tagger, corpus).train_custom(
            folder,
            learning_rate=settings.learning_rate,
            mini_batch_size=settings.batch_size,
            max_epochs=settings.epochs,
            optimizer=_OPTIMIZERS[settings.optimizer],
            max_grad_norm=settings.clip,
            epoch=plugin.progress.epoch,
            plugins=[plugin],
            embeddings_storage_mode="none",
            use_final_model_for_eval=True,
            save_final_model=False,
            create_file_logs=False,
            create_loss_file=False,
        )
    if not plugin.progress.finished:
        raise KeyboardInterrupt  # the trainer took it for the end of training
    plugin.load_best(tagger)
    return plugin.progress


class ResumableTraining(TrainerPlugin):
    """Checkpoints, dev scores, annealing and progress of one training run."""

    _schedule: AnnealOnPlateau

    def __init__(
        self,
        checkpoint: CheckpointFile,
        development: Sequence[Sentence],
        settings: TaggerSettings,
        report: Callable[[float, str], None],
    ) -> None:
        super().__init__()
        self.progress = Progress()
        self._file = checkpoint
        self._development = development
        self._settings = settings
        self._report = report
        self._restored: Checkpoint | None = None
        self._best: dict[str, torch.Tensor] = {}
        self._train_loss = math.nan
        self._started = 0.0

    def find_checkpoint(self, tagger: CellTagger) -> None:
        """Take up the newest checkpoint; one that is of no use is reported and ignored."""
        try:
            checkpoint = self._file.read()
            if checkpoint is None:
                return
            expected = set(trained_weights(tagger))
            if any(set(checkpoint.tensors[group]) != expected for group in ("model", "best")):
                raise DataError(f"{self._file.path}: holds other weights than the tagger has; delete it")
        except DataError as error:
            self._report(0.0, f"warning: {error}; starting afresh")
            return
        self._restored = checkpoint
        self._best = dict(checkpoint.tensors["best"])
        self.progress = Progress(**checkpoint.facts["progress"])

    def load_best(self, tagger: CellTagger) -> None:
        """Put the best epoch's weights into the tagger."""
        load_weights(tagger, self._best)

    @TrainerPlugin.hook
    def after_setup(self, **_: Any) -> None:
        """Set up annealing and restore the checkpoint that was found."""
        optimizer = self.trainer.optimizer
        self._schedule = AnnealOnPlateau(
            optimizer, mode="max", factor=self._settings.anneal_factor, patience=self._settings.patience
        )
        if self._restored is None:
            return
        tensors, facts = self._restored.tensors, self._restored.facts
        load_weights(self.model, tensors["model"])
        restore_optimizer(optimizer, tensors["optimizer"], facts["optimizer"])
        self._schedule.load_state_dict(facts["schedule"])
        restore_random(tensors["random"], facts["random"])
        self._restored = None

    @TrainerPlugin.hook
    def before_training_epoch(self, **_: Any) -> None:
        """Start the clock."""
        self._started = time.perf_counter()

    @TrainerPlugin.hook
    def metric_recorded(self, record: MetricRecord) -> None:
        """Watch the loss."""
        if record.name == "train/loss":
            self._train_loss = float(record.value)
        elif record.name in ("train/batch_loss", "train/gradient_norm"):
            self._require_finite("loss" if record.name == "train/batch_loss" else "gradient", record.value)

    @TrainerPlugin.hook
    def after_training_batch(self, batch_no: int, total_number_of_batches: int, epoch: int, **_: Any) -> None:
        """Report."""
        done = (epoch - 1 + (batch_no + 1) / total_number_of_batches) / self._settings.epochs
        score = f", dev F1 {self.progress.best_f1:.2f}" if self.progress.history else ""
        self._report(done, f"epoch {epoch}/{self._settings.epochs}{score}")

    @TrainerPlugin.hook
    def after_evaluation(self, epoch: int, **_: Any) -> None:
        """Score the epoch, keep what is best, anneal, and write the checkpoint."""
        trained = time.perf_counter()
        learning_rate = self._learning_rate()
        items, loss = evaluate(self.model, self._development, "dev", 2 * self._settings.batch_size, loss=True)
        judged = time.perf_counter()
        self._require_finite("dev loss", loss)
        f1 = micro(items).f1
        if f1 > self.progress.best_f1:
            self.progress.best_f1, self.progress.best_epoch = f1, epoch
            self._best = {name: tensor.clone() for name, tensor in trained_weights(self.model).items()}
        self._schedule.step(f1, loss)
        exhausted = self._learning_rate() < self._settings.min_learning_rate
        self.progress.epoch = epoch
        self.progress.finished = exhausted or epoch == self._settings.epochs
        self.progress.history.append(
            {
                "epoch": epoch,
                "train_loss": self._train_loss,
                "dev_loss": loss,
                "dev_f1": f1,
                "learning_rate": learning_rate,
                "seconds": trained - self._started,
                "seconds_dev": judged - trained,
            }
        )
        self.progress.seconds_train += trained - self._started
        self.progress.seconds_dev += judged - trained
        self._write()
        if exhausted:
            raise TrainingInterrupt("the learning rate fell below its minimum")

    def _learning_rate(self) -> float:
        return float(self.trainer.optimizer.param_groups[0]["lr"])

    def _require_finite(self, what: str, value: Any) -> None:
        if not math.isfinite(value):
            raise RunError(
                f"training diverged in epoch {self.progress.epoch + 1}: the {what} is {float(value)}; "
                f"lower learning_rate ({self._learning_rate()}) or clip ({self._settings.clip})"
            )

    def _write(self) -> None:
        optimizer_tensors, optimizer_rest = optimizer_state(self.trainer.optimizer)
        random_tensors, random_rest = random_state()
        tensors = {
            "model": trained_weights(self.model),
            "best": self._best,
            "optimizer": optimizer_tensors,
            "random": random_tensors,
        }
        facts = {
            "progress": vars(self.progress),
            "optimizer": optimizer_rest,
            "random": random_rest,
            "schedule": {name: getattr(self._schedule, name) for name in _SCHEDULE},
        }
        self._file.write(Checkpoint(tensors, facts))


def trained_weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Take everything of a model's state but the parameters that are frozen."""
    frozen = {name for name, weight in model.named_parameters() if not weight.requires_grad}
    return {name: tensor for name, tensor in model.state_dict().items() if name not in frozen}


def load_weights(model: torch.nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Put back what `trained_weights` gave."""
    model.load_state_dict({**model.state_dict(), **weights})

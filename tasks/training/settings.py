"""How weights are trained: one set of settings for every problem."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from tasks.settings import Count, Factor, NotNegative, Positive, Settings, Size


class OptimizerSettings(Settings):
    """How one step changes the weights.

    Attributes:
        optimizer: `sgd`, `adam` (with an L2 penalty in the gradient) or `adamw` (decoupled).
        learning_rate: For a batch of scale 1.
        weight_decay: L2 penalty, or decoupled decay of `adamw`.
        clip: Largest norm of the gradient of all weights together.
    """

    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    learning_rate: Positive = 0.1
    weight_decay: NotNegative = 0.0
    clip: Positive = 5.0


class TrainingSettings(OptimizerSettings):
    """A whole training.

    The learning rate of a step is `learning_rate` x warm-up x annealing x `Batch.scale`.

    Attributes:
        epochs: Most passes over the training data.
        max_steps: Most steps; 0 for no limit.
        max_seconds: Training ends with the first step after so many seconds of training and evaluation on dev;
            0 for no limit. The machine then decides the result, so this is for budgets, not for published
            numbers.
        warmup_steps: Steps over which the learning rate rises linearly from 0.
        scale_by_length: Whether the learning rate of a batch is multiplied by its scale.
        anneal_factor: What the learning rate is multiplied with when dev has not improved for more than
            `anneal_patience` epochs; 1 keeps it fixed.
        anneal_patience: Epochs without improvement that are tolerated before the learning rate is annealed: 0
            anneals after the first such epoch, 1 after the second in a row.
        anneal_after: From the end of this epoch on, the learning rate is annealed after each epoch, whatever
            dev says (Zaremba et al. 2014, arXiv 1409.2329); 0 waits for dev.
        min_learning_rate: Training ends when annealing takes the learning rate below; 0 never does.
        stop_patience: Training ends after so many epochs in a row without improvement on dev; 0 never does.
        averaging: `never`; `start`: the weights that are evaluated are the mean over all steps; `plateau`:
            they are the mean over the steps since dev stopped improving (Merity et al. 2018, arXiv 1708.02182,
            NT-ASGD).
        averaging_window: `plateau`: averaging begins after an epoch whose dev loss is above the smallest one of
            all epochs but the last so many, n in the paper.
        restore_best: Whether the weights of the best epoch on dev are kept in the end, or those of the last.
        precision: As in `CellRNN`: `bf16` computes the cell's products from bfloat16 where the processor can. A
            record names it unless it is `full`.
    """

    epochs: Size = 25
    max_steps: Count = 0
    max_seconds: NotNegative = 0.0
    warmup_steps: Count = 0
    scale_by_length: bool = True
    anneal_factor: Factor = 1.0
    anneal_patience: Count = 3
    anneal_after: Count = 0
    min_learning_rate: NotNegative = 0.0
    stop_patience: Count = 0
    averaging: Literal["never", "start", "plateau"] = "never"
    averaging_window: Size = 5
    restore_best: bool = True
    precision: Literal["full", "bf16"] = "full"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.averaging != "never" and self.optimizer != "sgd":
            raise ValueError(
                f"averaging = {self.averaging!r} is defined for optimizer = 'sgd', not {self.optimizer!r}"
            )
        return self

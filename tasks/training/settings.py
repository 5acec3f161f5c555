"""Settings of the trainer, the same for every problem."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from tasks.settings import Count, Factor, NotNegative, Positive, Settings, Size


class OptimizerSettings(Settings):
    """Settings of the optimizer.

    Attributes:
        optimizer: `sgd`, `adam` (L2 penalty added to the gradient) or `adamw` (decoupled weight decay).
        learning_rate: For a batch with scale 1.
        weight_decay: L2 penalty; decoupled weight decay with `adamw`.
        clip: Maximum norm of the gradient of all weights together.
    """

    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    learning_rate: Positive = 0.1
    weight_decay: NotNegative = 0.0
    clip: Positive = 5.0


class TrainingSettings(OptimizerSettings):
    """Settings of a whole training.

    The learning rate of a step is `learning_rate` x warm-up x annealing x `Batch.scale`.

    Attributes:
        epochs: Maximum number of passes over the training data.
        max_steps: Maximum number of steps; 0 for no limit.
        max_seconds: Training ends with the first step after this many seconds of training and evaluation on
            dev; 0 for no limit. The result then depends on the speed of the machine, so do not use it for
            published numbers.
        warmup_steps: Steps over which the learning rate rises linearly from 0.
        scale_by_length: Whether the learning rate of a batch is multiplied by its scale.
        anneal_factor: The learning rate is multiplied by this when dev has not improved for more than
            `anneal_patience` epochs; 1 keeps it fixed.
        anneal_patience: Epochs without improvement that are tolerated before the learning rate is annealed: 0
            anneals after the first such epoch, 1 after the second in a row.
        anneal_after: From the end of this epoch on, the learning rate is annealed after each epoch, whatever
            dev says (Zaremba et al. 2014, arXiv 1409.2329); 0 waits for dev.
        min_learning_rate: Training ends when annealing takes the learning rate below this; 0 for no limit.
        stop_patience: Training ends after this many epochs in a row without improvement on dev; 0 for no limit.
        averaging: Which weights are evaluated. `never`: the current ones; `start`: their mean over all steps;
            `plateau`: their mean over the steps since dev stopped improving (NT-ASGD, Merity et al. 2018,
            arXiv 1708.02182).
        averaging_window: With `plateau`, averaging begins after an epoch whose dev loss is above the smallest
            one before the last `averaging_window` epochs; n in the paper.
        restore_best: Whether the final weights are those of the best epoch on dev, or those of the last epoch.
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

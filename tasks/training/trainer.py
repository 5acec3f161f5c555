"""The trainer: fits the weights of the model of any problem, and keeps those of the best epoch on dev."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cellzoo.errors import DataError, RunError
from tasks.problem import LOSS
from tasks.training.checkpoint import Count
from tasks.training.learner import Stream
from tasks.training.state import Parts, frozen_keys
from tasks.training.weights import WeightAverage, WeightOptimizer, check_finite

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

    from tasks.problem import Batch, Evaluation, Problem
    from tasks.training.learner import Numbers
    from tasks.training.settings import TrainingSettings
    from tasks.training.state import LearnerState


class Trainer:
    """A `Learner` that trains the weights of a model with a fixed architecture.

    Args:
        problem: The data and the loss.
        model: From `problem.model`, with its initial weights.
        settings: Optimizer, schedule and averaging.
    """

    def __init__(self, problem: Problem, model: nn.Module, settings: TrainingSettings) -> None:
        self.problem = problem
        self.model = model
        self.settings = settings
        self.weights = WeightOptimizer(model.parameters(), settings)
        self.stream = Stream()
        self.higher_is_better = any(
            metric.higher_is_better for metric in problem.metrics if metric.name == problem.selection
        )
        self.annealing = 1.0
        self.steps = 0
        self.epoch = 0
        self.best_epoch = 0
        self.best_score: float | None = None
        self.best_loss = math.inf
        self.bad_epochs = self.bad_epochs_for_annealing = 0
        self.failed_epoch = self.restored_epoch = 0
        self.losses: list[float] = []
        self.best: dict[str, Tensor] = {}
        self.average = None if settings.averaging == "never" else WeightAverage(self.weights.weights)
        self.is_averaging = settings.averaging == "start"
        self.is_swapped = False
        self._parts = Parts(
            {"model": model} | ({} if self.average is None else {"average": self.average}),
            {"weights": self.weights.optimizer},
            constant=frozen_keys("model", model),
        )

    @property
    def finished(self) -> bool:
        """Whether annealing or patience has ended the training."""
        settings = self.settings
        rate = settings.learning_rate * self.annealing
        exhausted = self.annealing < 1.0 and rate < settings.min_learning_rate
        return exhausted or 0 < settings.stop_patience <= self.bad_epochs

    def start_epoch(self, epoch: int, epochs: int) -> Numbers:
        """See `Learner`."""
        self._show_trained_weights()
        self.epoch = epoch
        self.model.train()
        return {"learning_rate": self.settings.learning_rate * self.annealing}

    def step(self, batch: Batch, validation: Iterator[Batch]) -> Numbers:
        """See `Learner`; no validation batch is used."""
        result = self.problem.loss(self.model, batch, self.stream.before(batch))
        loss = result.loss.item()
        check_finite(loss, "the training loss")
        self.weights.step(result.penalised, self._scale(batch))
        self.stream.after(result)
        self.steps += 1
        if self.average is not None and self.is_averaging:
            self.average.add()
        return {"train_loss": loss}

    def end_epoch(self, validation: Iterator[Batch]) -> Numbers:
        """Swap in the averaged weights, if there are any, for the evaluation."""
        self.epoch += 1
        if self.average is not None and self.average.is_active:
            self.average.swap()
            self.is_swapped = True
        return {}

    def evaluated(self, evaluation: Evaluation) -> Numbers:
        """Keep the weights if the epoch is the best so far on dev, and update the learning rate schedule.

        Raises:
            RunError: The loss on dev is not finite.
        """
        loss = evaluation.metrics[LOSS]
        check_finite(loss, "the loss on dev")
        score = evaluation.metrics[self.problem.selection]
        improved = self._is_better(score, loss)
        if improved:
            self.best_epoch, self.best_score, self.best_loss = self.epoch, score, loss
            self.bad_epochs = self.bad_epochs_for_annealing = 0
            if self.settings.restore_best:
                self.best = self._changing_weights()
        else:
            self.bad_epochs += 1
            self.bad_epochs_for_annealing += 1
        if self._anneals():
            self.annealing *= self.settings.anneal_factor
            self.bad_epochs_for_annealing = 0
        self._begin_averaging(loss)
        self.losses.append(loss)
        self._show_trained_weights()
        return {"is_best": float(improved)}

    def recover(self) -> Numbers | None:
        """Restore the weights of the best epoch, once, and reset averages and moments. See `Recovers`.

        These weights exist only with `restore_best`.
        """
        if self.restored_epoch or not self.best:
            return None
        self._show_trained_weights()
        self._load_best()
        self.weights.restart()
        if self.average is not None:
            self.average.restart()
        self.failed_epoch, self.restored_epoch = len(self.losses) + 1, self.best_epoch
        return {"restored_epoch": float(self.best_epoch)}

    def notes(self) -> dict[str, Any]:
        """With averaging: whether averaged weights were evaluated."""
        return {} if self.average is None else {"averaged": self.average.is_active}

    def remarks(self) -> tuple[str, ...]:
        """Return caveats for the reader of the results; call it after the training."""
        said = []
        if self.restored_epoch:
            said.append(
                f"a loss in epoch {self.failed_epoch} was not finite: the training went back once, to the "
                f"weights of epoch {self.restored_epoch}"
            )
        if self.average is not None and not self.average.is_active:
            said.append(
                f"averaging = {self.settings.averaging!r} never began within {self.epoch} epoch(s): no weights "
                "were averaged, so the result is not that of the recipe; train for longer"
            )
        return tuple(said)

    def show_best(self) -> None:
        """Load the final weights into the model: of the best epoch, or of the last one without `restore_best`.

        Raises:
            RunError: No epoch had a score, so there is no best one.
        """
        if not self.settings.restore_best:
            if self.average is not None and self.average.is_active and not self.is_swapped:
                self.average.swap()
                self.is_swapped = True
            return
        if not self.best:
            raise RunError("no epoch was evaluated on dev, so there is no best one")
        self._load_best()

    def state(self) -> LearnerState:
        """See `Learner`."""
        own = {name: getattr(self, name) for name in _Own.model_fields}
        saved = self._parts.save(own)
        tensors = {**saved.tensors, **{f"best.{name}": tensor for name, tensor in self.best.items()}}
        return type(saved)(tensors, saved.content)

    def restore(self, state: LearnerState) -> None:
        """See `Learner`."""
        best = {name.removeprefix("best."): t for name, t in state.tensors.items() if name.startswith("best.")}
        wanted = {name: tuple(tensor.shape) for name, tensor in self._changing_weights().items()}
        found = {name: tuple(tensor.shape) for name, tensor in best.items()}
        if best and wanted != found:
            raise DataError("the saved best weights are of another network")
        self._parts.check(state)
        own = _own(state.content["own"])
        self._parts.restore(state)
        for name in _Own.model_fields:
            setattr(self, name, getattr(own, name))
        self.best = best

    def _scale(self, batch: Batch) -> float:
        settings = self.settings
        warm = min(1.0, (self.steps + 1) / settings.warmup_steps) if settings.warmup_steps else 1.0
        return warm * self.annealing * (batch.scale if settings.scale_by_length else 1.0)

    def _is_better(self, score: float, loss: float) -> bool:
        """Tell whether an epoch is the best so far: by its score, and by its loss where scores are equal.

        An undefined score (NaN) is worse than any other.
        """
        if self.best_score is None:
            return True
        if math.isnan(score) or math.isnan(self.best_score):
            return (math.isnan(self.best_score), -loss) > (math.isnan(score), -self.best_loss)
        if score == self.best_score:
            return loss < self.best_loss
        return (score > self.best_score) == self.higher_is_better

    def _anneals(self) -> bool:
        settings = self.settings
        if settings.anneal_after:
            return self.epoch >= settings.anneal_after
        return self.bad_epochs_for_annealing > settings.anneal_patience

    def _begin_averaging(self, loss: float) -> None:
        window = self.settings.averaging_window
        if self.settings.averaging == "plateau" and not self.is_averaging and len(self.losses) > window:
            self.is_averaging = loss > min(self.losses[:-window])

    def _show_trained_weights(self) -> None:
        if self.is_swapped and self.average is not None:
            self.average.swap()
            self.is_swapped = False

    def _load_best(self) -> None:
        self.model.load_state_dict({**self.model.state_dict(), **self.best})

    def _changing_weights(self) -> dict[str, Tensor]:
        return {
            name: tensor.detach().clone()
            for name, tensor in self.model.state_dict().items()
            if f"model.{name}" not in self._parts.constant
        }


class _Own(BaseModel):
    """The saved state of a trainer apart from weights and moments."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    annealing: float = Field(ge=0.0, allow_inf_nan=False)
    steps: Count
    epoch: Count
    best_epoch: Count
    best_score: float | None
    best_loss: float
    bad_epochs: Count
    bad_epochs_for_annealing: Count
    failed_epoch: Count = 0
    restored_epoch: Count = 0
    losses: list[Annotated[float, Field(allow_inf_nan=False)]]
    is_averaging: bool


def _own(saved: dict[str, Any]) -> _Own:
    try:
        return _Own.model_validate(saved)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"]))
        raise DataError(f"the saved {place} is {fault['input']!r:.40}: {fault['msg']}") from error

"""The weights that all cells of a supernet share, and how they are trained."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from cellzoo.errors import RunError
from search.supernets.network import own_weights

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from torch import Tensor, nn

    from search.methods.settings import WeightSettings
    from search.objectives.objective import Batch, Carry, Objective, Outcome
    from search.supernets.network import Supernet


class Stream:
    """What is carried from batch to batch of one stream."""

    def __init__(self) -> None:
        self._carry: Carry = None

    def before(self, batch: Batch) -> Carry:
        """The carry that a batch starts from."""
        return None if batch.starts else self._carry

    def after(self, outcome: Outcome) -> None:
        """Take the carry of a batch."""
        self._carry = outcome.carry


class WeightTrainer:
    """Trains weights by clipped gradient descent.

    Args:
        weights: What is trained.
        settings: How.
    """

    def __init__(self, weights: Iterable[nn.Parameter], settings: WeightSettings) -> None:
        self.weights = list(weights)
        self.settings = settings
        kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[settings.optimizer]
        self.optimizer: torch.optim.Optimizer = kind(
            self.weights, lr=settings.learning_rate, weight_decay=settings.weight_decay
        )

    def step(self, loss: Tensor, scale: float) -> None:
        """Go one step down a loss.

        Args:
            loss: A scalar; gradients reach only what requires them.
            scale: Factor on the learning rate.

        Raises:
            RunError: The gradient is no finite number; the weights are as before.
        """
        self.optimizer.zero_grad()
        loss.backward()
        self.go(scale)

    def go(self, scale: float) -> None:
        """Go one step down the gradients that the weights have.

        Args:
            scale: Factor on the learning rate.

        Raises:
            RunError: They are no finite number; the weights are as before.
        """
        norm = torch.nn.utils.clip_grad_norm_(self.weights, self.settings.clip)
        check_finite(norm.item(), "the norm of the gradient of the weights")
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * scale
        self.optimizer.step()


class SharedWeights:
    """A supernet in the model of an objective.

    Args:
        supernet: The layer.
        objective: What it is trained on.
        settings: How.
        generator: Draws the weights around the supernet.
    """

    def __init__(
        self,
        supernet: Supernet,
        objective: Objective,
        settings: WeightSettings,
        generator: torch.Generator,
    ) -> None:
        self.supernet = supernet
        self.objective = objective
        self.settings = settings
        self.model = objective.model(supernet, generator)
        own = own_weights(self.model, supernet.relaxation).values()
        self.weights = [weight for weight in own if weight.requires_grad]
        self.trainer = WeightTrainer(self.weights, settings)
        self.training = Stream()
        self.validation = Stream()

    @property
    def tied_weights(self) -> list[nn.Parameter]:
        """The weights that the model uses in two places, as it says itself."""
        return [self.model.get_parameter(name) for name in getattr(self.model, "tied_weights", ())]

    @property
    def architecture(self) -> list[nn.Parameter]:
        """The architecture's parameters that are learned now."""
        return [alpha for alpha in self.supernet.relaxation.parameters() if alpha.requires_grad]

    def is_sound(self) -> bool:
        """Whether training can go on although evaluation gave no number.

        It can where evaluation normalises by running statistics, which training does not read: an error in them
        grows from step to step of a long text. Weights that are no number are none to go on with.
        """
        uses_running = self.supernet.layout.normalisation == "running"
        return uses_running and all(bool(weight.isfinite().all()) for weight in self.weights)

    def learn(self, batch: Batch) -> float:
        """Train the weights on a batch, the architecture held still; returns the loss in nats a word.

        Raises:
            RunError: The loss or its gradient is no finite number; the weights are as before.
        """
        with frozen(self.architecture):
            outcome = self.training_outcome(batch)
            self.trainer.step(outcome.penalised, batch.scale)
        self.training.after(outcome)
        return outcome.loss.item()

    def training_outcome(self, batch: Batch) -> Outcome:
        """Run the model on a training batch.

        Raises:
            RunError: The loss is no finite number.
        """
        outcome = self.objective.loss(self.model, batch, self.training.before(batch))
        check_finite(outcome.penalised.item(), "the training loss")
        return outcome

    def validation_outcome(self, batch: Batch) -> Outcome:
        """Run the model on a validation batch.

        Raises:
            RunError: The loss is no finite number.
        """
        outcome = self.objective.loss(self.model, batch, self.validation.before(batch))
        check_finite(outcome.loss.item(), "the validation loss")
        self.validation.after(outcome)
        return outcome

    def judge(self, shares: Mapping[str, Tensor], batches: Sequence[Batch]) -> float:
        """Loss of the cell that these shares stand for, with the shared weights.

        In nats a word: the mean of the batches' means. The model is in evaluation mode, and every stream starts
        anew.

        Args:
            shares: As in `Layout.mixture_shapes`.
            batches: Validation batches; none for all held-out data.
        """
        with self.supernet.holding(shares):
            if not batches:
                return self.objective.evaluate(self.model)["loss"]
            losses, stream = [], Stream()
            was_training = self.model.training
            self.model.eval()
            with torch.no_grad():
                for index, batch in enumerate(batches):
                    carry = None if index == 0 else stream.before(batch)
                    outcome = self.objective.loss(self.model, batch, carry)
                    stream.after(outcome)
                    losses.append(outcome.loss.item())
            self.model.train(was_training)
        return sum(losses) / len(losses)


@contextmanager
def frozen(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Ask for no gradients of some parameters for a while."""
    held = [parameter for parameter in parameters if parameter.requires_grad]
    for parameter in held:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in held:
            parameter.requires_grad_(True)


def check_finite(value: float, what: str) -> None:
    """Check a number.

    Raises:
        RunError: It is not finite.
    """
    if not math.isfinite(value):
        raise RunError(f"{what} is {value}; try a smaller learning rate or clip")

"""The shared weights of a supernet, and their training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from search.supernets.network import Supernet, own_weights
from tasks.problem import LOSS
from tasks.training.learner import Stream
from tasks.training.weights import WeightOptimizer, check_finite, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor, nn

    from search.methods.settings import SharedSettings
    from search.supernets.layout import Layout
    from search.supernets.relaxation import Relaxation
    from tasks.problem import Batch, BatchLoss, Problem
    from tasks.training.settings import OptimizerSettings


def share_weights(
    layout: Layout,
    relaxation: Relaxation,
    problem: Problem,
    settings: SharedSettings,
    generator: torch.Generator,
) -> SharedWeights:
    """Build a supernet and the problem's model around it.

    Args:
        layout: Of the supernet.
        relaxation: Its architecture.
        problem: The problem of the search.
        settings: Settings of the training of weights, engine and precision.
        generator: Draws the weights.

    Raises:
        CellzooError: The problem's model cannot contain a supernet.
    """
    problem.layer.check_searchable(problem.name)
    supernet = Supernet(
        layout, problem.layer, relaxation, generator, engine=settings.engine, precision=settings.precision
    )
    return SharedWeights(supernet, problem, settings, generator)


class SharedWeights:
    """A supernet in the model of a problem.

    Args:
        supernet: The layer.
        problem: The problem of the search.
        settings: Settings of the training of weights.
        generator: Draws the weights of the rest of the model.
    """

    def __init__(
        self,
        supernet: Supernet,
        problem: Problem,
        settings: OptimizerSettings,
        generator: torch.Generator,
    ) -> None:
        self.supernet = supernet
        self.problem = problem
        self.settings = settings
        self.model = problem.model(supernet, generator)
        own = own_weights(self.model, supernet.relaxation).values()
        self.weights = [weight for weight in own if weight.requires_grad]
        self.optimizer = WeightOptimizer(self.weights, settings)
        self.training = Stream()
        self.validation = Stream()

    @property
    def tied_weights(self) -> list[nn.Parameter]:
        """The weights that the model uses in two places, from its attribute `tied_weights`."""
        return [self.model.get_parameter(name) for name in getattr(self.model, "tied_weights", ())]

    @property
    def architecture(self) -> list[nn.Parameter]:
        """The parameters of the architecture that are trained in this epoch."""
        return [alpha for alpha in self.supernet.relaxation.parameters() if alpha.requires_grad]

    @property
    def can_go_on(self) -> bool:
        """Whether training can continue although the loss on dev is not finite.

        It can if evaluation normalises by running statistics and all weights are finite: errors in the running
        statistics accumulate over the steps of a long text, but training does not use them.
        """
        uses_running = self.supernet.layout.normalisation == "running"
        return uses_running and all(bool(weight.isfinite().all()) for weight in self.weights)

    def learn(self, batch: Batch) -> float:
        """Train the weights on a batch, with a fixed architecture; returns the loss in nats.

        Raises:
            RunError: The loss or its gradient is not finite; the weights are unchanged.
        """
        with frozen(self.architecture):
            result = self.training_loss(batch)
            self.optimizer.step(result.penalised, batch.scale)
        self.training.after(result)
        return result.loss.item()

    def training_loss(self, batch: Batch) -> BatchLoss:
        """Run the model on a training batch.

        Raises:
            RunError: The loss is not finite.
        """
        result = self.problem.loss(self.model, batch, self.training.before(batch))
        check_finite(result.penalised.item(), "the training loss")
        return result

    def validation_loss(self, batch: Batch) -> BatchLoss:
        """Run the model on a validation batch.

        Raises:
            RunError: The loss is not finite.
        """
        result = self.problem.loss(self.model, batch, self.validation.before(batch))
        check_finite(result.loss.item(), "the validation loss")
        self.validation.after(result)
        return result

    def evaluate_cell(self, shares: Mapping[str, Tensor], batches: Sequence[Batch]) -> float:
        """Evaluate the cell of these shares with the shared weights; returns the loss in nats.

        The loss is the mean over batches. The model is in evaluation mode, and its recurrent state starts at
        zero.

        Args:
            shares: As in `Layout.mixture_shapes`.
            batches: Validation batches; if empty, all of dev is used.
        """
        with self.supernet.holding(shares):
            if not batches:
                return self.problem.evaluate(self.model, "dev").metrics[LOSS]
            losses: list[float] = []
            stream = Stream()
            was_training = self.model.training
            self.model.eval()
            with torch.no_grad():
                for index, batch in enumerate(batches):
                    carry = None if index == 0 else stream.before(batch)
                    result = self.problem.loss(self.model, batch, carry)
                    stream.after(result)
                    losses.append(result.loss.item())
            self.model.train(was_training)
        return sum(losses) / len(losses)

"""Problem: what can be trained and evaluated around a recurrent layer.

A problem turns data into batches, builds a model around whatever recurrent layer it is given, says the loss of
a batch, and evaluates a model on any split. It knows neither what is trained nor how: the layer is a `CellRNN`
when a cell is evaluated and a `Supernet` when cells are searched, and the model around it is the same. Whoever
trains (`tasks.training`, `search.methods`) calls nothing else of a problem, so it does not know whether it
trains a tagger or a language model.

A new problem is one new file with a `ProblemKind`, registered in `tasks.registry` or by the entry-point group
`cellzoo.problems`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

from cellzoo.errors import CellzooError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import torch
    from torch import Tensor, nn

    from cellzoo.cells.cell import Cell
    from tasks.data.found import FoundData
    from tasks.data.splits import Split
    from tasks.metric import Metric
    from tasks.model_file import ModelFile
    from tasks.settings import Json, Settings
    from tasks.vectors import LearnedVectors

Carry: TypeAlias = Any
"""What goes from one batch of a stream to the next: a detached recurrent state, or None where batches have
nothing to do with each other. Only the problem looks into it; whoever trains keeps it and hands it back."""

LOSS = "loss"
"""The metric that every evaluation has: mean negative log-likelihood in nats, a word or an example."""


@dataclass(frozen=True)
class LayerSpec:
    """The recurrent layer that a model has room for, or a stack of such layers.

    Attributes:
        input_size: E.
        hidden_size: H, of one direction.
        num_layers: Layers of this width; a supernet has one.
        bidirectional: Whether a second set of weights reads backwards; outputs are then 2 H wide.
        dropout: Dropout between layers; of a stack, locked dropout.
        dropout_x: As in `CellRNN`.
        dropout_h: As in `CellRNN`.
        init: As in `CellRNN`.
        weight_range: What has no published rule in use starts uniform in ± this; None for the layer's own rule,
            ±1 / sqrt(H).
        device: Where the weights are; None for the CPU.
        dtype: Of the weights; None for torch's default.
        below: Hidden sizes of further layers below this one, in a stack of layers of different widths; see
            `tasks.layers.stack.CellStack`.
        weight_drop: As in `CellStack`.
        trains_dropped: As in `CellStack`.
    """

    input_size: int
    hidden_size: int
    num_layers: int = 1
    bidirectional: bool = False
    dropout: float = 0.0
    dropout_x: float = 0.0
    dropout_h: float = 0.0
    init: str = "uniform"
    weight_range: float | None = None
    device: torch.device | None = None
    dtype: torch.dtype | None = None
    below: tuple[int, ...] = ()
    weight_drop: float = 0.0
    trains_dropped: bool = True

    @property
    def is_stack(self) -> bool:
        """Whether it takes a `CellStack`."""
        return bool(self.below) or self.weight_drop > 0.0

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Input size and hidden size of each layer, from the bottom."""
        directions = 2 if self.bidirectional else 1
        widths = [*self.below, *[self.hidden_size] * self.num_layers]
        return tuple(
            zip([self.input_size, *(directions * width for width in widths[:-1])], widths, strict=True)
        )

    def num_parameters(self, cell: Cell) -> int:
        """Count the weights of a cell in all layers and directions."""
        return self._sum(cell.num_parameters)

    def flops(self, cell: Cell) -> int:
        """Count the operations of a cell for one token, in all layers and directions."""
        return self._sum(cell.flops)

    def check_searchable(self, name: str) -> None:
        """Check that a supernet fits in.

        Args:
            name: Of the problem, for the message.

        Raises:
            CellzooError: The model has several layers.
        """
        if self.is_stack or self.num_layers > 1:
            sizes = " -> ".join(str(size) for size in (self.input_size, *(width for _, width in self.sizes)))
            raise CellzooError(
                f"{name}: a supernet is one recurrent layer, and this model has {len(self.sizes)} ({sizes})"
                f"{' with weight drop' if self.weight_drop else ''}; search in a model of one layer"
            )

    def _sum(self, count: Callable[..., int]) -> int:
        directions = 2 if self.bidirectional else 1
        return directions * sum(
            count(input_size=input_size, hidden_size=hidden_size) for input_size, hidden_size in self.sizes
        )


@dataclass(frozen=True)
class Batch:
    """What one step reads.

    Attributes:
        content: For the problem alone.
        tokens: Words in it (examples' words, padding not counted).
        starts: Whether it starts a stream: the carry before it is None, whatever came from earlier batches.
        scale: Factor on the learning rate of the weights; language modelling has the segment's length divided
            by that of a full segment here, as the DARTS code does.
    """

    content: Any
    tokens: int
    starts: bool = True
    scale: float = 1.0


class BatchLoss(NamedTuple):
    """What a model makes of a batch.

    Attributes:
        loss: Mean negative log-likelihood in nats, a scalar. Architectures learn from it.
        penalised: What the weights learn from: `loss` times `factor`, with penalties such as activation
            regularisation; a scalar, and `loss` itself where there are none.
        carry: For the next batch of the stream, detached.
        factor: What `penalised` has `loss` multiplied with: 1, or the number of words where the weights learn
            from the sum over the words of a batch, as Flair's do.
    """

    loss: Tensor
    penalised: Tensor
    carry: Carry = None
    factor: float = 1.0


@dataclass(frozen=True)
class Evaluation:
    """A model on one split.

    Attributes:
        metrics: Name -> value; has `loss`, and every metric that the problem declares. A value that is
            undefined on this split (F1 without an entity) is NaN, never 0.
        items: One JSON object for each item, enough to recompute every metric on any resample of the items.
        notes: What a reader must know of these numbers, such as words that were never seen.
    """

    metrics: Mapping[str, float]
    items: Sequence[Mapping[str, Json]] = ()
    notes: tuple[str, ...] = ()


class Problem(Protocol):
    """Data, the model around a recurrent layer, its loss, and its evaluation.

    Attributes:
        name: Name of the data, such as `ptb`, for messages.
        metrics: What `evaluate` measures besides `loss`; the first is what leaderboards rank by.
        selection: Name of the metric, one of `metrics` or `loss`, whose value on dev chooses the epoch. `loss`
            is better low.
        layer: The recurrent layer that the model has room for.
        steps: Training batches of an epoch, as far as known beforehand; for the time left.
        facts: What a reader sees of the data, such as `{"train words": 929589, "vocabulary": 10000}`.
    """

    name: str
    metrics: tuple[Metric, ...]
    selection: str
    layer: LayerSpec
    steps: int
    facts: Mapping[str, int]

    def model(self, rnn: nn.Module, generator: torch.Generator) -> nn.Module:
        """Build the whole model around a recurrent layer.

        Args:
            rnn: A `CellRNN`, a `CellStack` or a `Supernet` of the sizes in `layer`, with its weights drawn. It
                is called as `rnn(input, hx)` with time-major input (T, B, E) or, but for a stack, a
                PackedSequence, and gives `(output, h_n)`, as `CellRNN` says. h_n is a tensor (L, B, H) or a
                tuple of what h_n can be; it can be passed back as hx.
            generator: Draws the weights around it; a CPU generator.

        Returns:
            A module that has `rnn` as a submodule, on the layer's device, in training mode. If it uses a weight
            in two places, as a tied decoder does, its attribute `tied_weights` is a tuple of the names of such
            parameters. Parameters that are not trained require no gradient.
        """
        ...

    def train_batches(self, generator: torch.Generator) -> Iterator[Batch]:
        """Go once through the training data.

        Args:
            generator: Decides the order or the lengths; the same state gives the same batches.
        """
        ...

    def validation_batches(self, generator: torch.Generator) -> Iterator[Batch]:
        """Go through dev without end: what architectures learn from, batch by batch.

        Args:
            generator: As in `train_batches`.
        """
        ...

    def loss(self, model: nn.Module, batch: Batch, carry: Carry) -> BatchLoss:
        """Run a model of `model` on a batch, in the mode (training or not) that it is in.

        Args:
            model: From `model`.
            batch: From `train_batches` or `validation_batches`.
            carry: Of the batch before, None where `batch.starts`.
        """
        ...

    def evaluate(
        self, model: nn.Module, split: Split, report: Callable[[float], None] = lambda fraction: None
    ) -> Evaluation:
        """Measure a model on all of a split, without gradients and in evaluation mode.

        The model comes back in the mode that it had. No random number is drawn. Neither the size of batches nor
        padding changes a result by more than rounding.

        Args:
            model: From `model`.
            split: Which.
            report: Takes the fraction that is done.
        """
        ...

    def embedding_parameters(self, model: nn.Module) -> int:
        """Number of the model's parameters that are tables of vectors, trained or not."""
        ...

    def vectors(self, model: nn.Module) -> tuple[Sequence[str], Tensor] | None:
        """The word vectors that the model has learned: V words and (V, E) on the CPU; or None."""
        ...


@runtime_checkable
class AnswersOne(Protocol):
    """A problem whose models are used on one item at a time, so that it matters how long one takes.

    Attributes:
        test_items: Items of test.
    """

    test_items: int

    def answer(self, model: nn.Module, number: int) -> None:
        """Predict a test item alone, from its words to what a user wants to know.

        Args:
            model: From `model`, in evaluation mode; there are no gradients.
            number: Of the item, from 0.
        """
        ...


@runtime_checkable
class EvaluatesOnce(Protocol):
    """A problem that measures more of a trained model than is worth it after each epoch."""

    def evaluate_once(self, model: nn.Module, split: Split) -> Evaluation:
        """As `Problem.evaluate`, with the outline's `final` metrics; called when the training is over."""
        ...


@runtime_checkable
class TakesEncoder(Protocol):
    """A problem whose words and recurrent layer can be those that another task has trained."""

    def around(self, learned: LearnedVectors) -> Problem:
        """The same problem around what another run has left, which stays as it is.

        Raises:
            CellzooError: It left no recurrent layer.
        """
        ...


@dataclass(frozen=True)
class Outline:
    """What settings say of a problem before any data is read.

    Attributes:
        data: Names of the data sets that it needs, such as `("wnut17", "glove-6b-50d")`.
        metrics: As in `Problem`.
        selection: As in `Problem`.
        dev: What the split `dev` is called where results are shown.
        final: What `EvaluatesOnce` measures besides `metrics`.
        test: The same of `test`. GLUE's own test sets have no labels, so there the dev set is what is reported.
    """

    data: tuple[str, ...]
    metrics: tuple[Metric, ...]
    selection: str
    dev: str = "dev"
    test: str = "test"
    final: tuple[Metric, ...] = ()


class BuildProblem(Protocol):
    """Makes a problem from its data and settings."""

    def __call__(
        self, data: Mapping[str, FoundData], settings: Any, device: torch.device, cache: Path | None = None
    ) -> Problem:
        """Read the data, check all of it, and make the problem.

        Args:
            data: The data sets that the outline names, found, by name.
            settings: An object of the kind's settings class.
            device: Where models run.
            cache: A folder that all runs of one output folder share, for what is computed once (features of
                frozen embeddings), or None.

        Raises:
            DataError: The data cannot be read, is too small, or is degenerate; the message names the file.
        """
        ...


@dataclass(frozen=True)
class ProblemKind:
    """What a module offers: a kind of problem, not built yet.

    Attributes:
        name: As task files and presets call it, such as `language-modeling`.
        summary: One line on what it is.
        settings: All settings of the data and of the model around the cell, with defaults.
        outline: Reads an outline off settings.
        build: Makes the problem.
        baselines: What is trained beside cells, by their names in `tasks.layers.baselines`.
        keeps: The file in which `run --keep-models` keeps a trained model, for `run --eval-only` and
            `cellzoo export`; None where there is none.
        leaves: What a task with `leaves = "model"` leaves; None for the same.
        measures: Setting -> metric, of the settings that change nothing of a run but this metric.
        check_data: Reads the data and checks it as `build` does, where that can be done with less: without
            pretrained vectors and without the packages that the model needs. None: the problem is built.
    """

    name: str
    summary: str
    settings: type[Settings]
    outline: Callable[[Any], Outline]
    build: BuildProblem
    check_data: Callable[[Mapping[str, FoundData], Any], None] | None = None
    baselines: tuple[str, ...] = ()
    keeps: ModelFile | None = None
    leaves: ModelFile | None = None
    measures: Mapping[str, str] = field(default_factory=dict)

    def check(self, data: Mapping[str, FoundData], settings: Any) -> None:
        """Read the data and check all of it, before anything is trained.

        Raises:
            DataError: As `BuildProblem`.
        """
        if self.check_data is not None:
            self.check_data(data, settings)
            return
        import torch

        self.build(data, settings, torch.device("cpu"))

"""What can be set about the model and its training. Plain values: all of them enter the record's key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from cellzoo.errors import CellzooError

Optimizer: TypeAlias = Literal["sgd", "adam"]


@dataclass(frozen=True, kw_only=True)
class LanguageModelSettings:
    """A `CellLanguageModel` and how it is trained.

    The defaults are those of the DARTS experiments on Penn Treebank, but for their switch to averaged SGD.

    Attributes:
        hidden_size: Width of the cell and of the tied embedding.
        dropout: Locked dropout on the outputs of the cell.
        dropout_e: Dropout of whole words.
        dropout_i: Locked dropout on embedded words.
        dropout_x: Dropout on the cell's input.
        dropout_h: Dropout on what the cell's products read of its state and nodes.
        epochs: Passes over the training text.
        batch_size: Parallel streams of training text.
        bptt: Steps of truncated back-propagation.
        jitter: Whether lengths of segments are drawn around `bptt` as DARTS does.
        optimizer: `sgd` or `adam`.
        learning_rate: For a segment of `bptt` steps; shorter and longer ones scale it in proportion.
        anneal: Factor on the learning rate after an epoch that brought no better dev perplexity.
        weight_decay: L2 penalty that the optimiser applies.
        clip: Largest norm of the gradient of all weights together.
        alpha: Activation regularisation: weight of the mean square of the dropped outputs.
        beta: Temporal activation regularisation: weight of the mean square of the change of the outputs.
        evaluation_streams: Parallel streams of dev and test text; every word is predicted once, and the
            pieces after the first start from a zero state with the true word before them as input.

    Raises:
        CellzooError: A value out of range.
    """

    hidden_size: int = 850
    dropout: float = 0.75
    dropout_e: float = 0.1
    dropout_i: float = 0.2
    dropout_x: float = 0.75
    dropout_h: float = 0.25
    epochs: int = 3600
    batch_size: int = 64
    bptt: int = 35
    jitter: bool = True
    optimizer: Optimizer = "sgd"
    learning_rate: float = 20.0
    anneal: float = 1.0
    weight_decay: float = 8e-7
    clip: float = 0.25
    alpha: float = 0.0
    beta: float = 1e-3
    evaluation_streams: int = 10

    def __post_init__(self) -> None:
        for name in ("hidden_size", "epochs", "batch_size", "bptt", "evaluation_streams"):
            value = getattr(self, name)
            if value < 1:
                raise CellzooError(f"{name} is {value}; it must be at least 1")
        for name in ("dropout", "dropout_e", "dropout_i", "dropout_x", "dropout_h"):
            value = getattr(self, name)
            if not 0.0 <= value < 1.0:
                raise CellzooError(f"{name} is {value}; it must be a probability, 0 to below 1")
        for name in ("learning_rate", "clip"):
            value = getattr(self, name)
            if value <= 0.0:
                raise CellzooError(f"{name} is {value}; it must be above 0")
        for name in ("weight_decay", "alpha", "beta"):
            value = getattr(self, name)
            if value < 0.0:
                raise CellzooError(f"{name} is {value}; it must not be below 0")
        if not 0.0 < self.anneal <= 1.0:
            raise CellzooError(f"anneal is {self.anneal}; it must be above 0 and at most 1")
        if self.optimizer not in ("sgd", "adam"):
            raise CellzooError(f"optimizer is {self.optimizer!r}; it must be 'sgd' or 'adam'")

"""The settings of a tagging task; they are part of the key of its records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from cellzoo.errors import CellzooError

Optimizer: TypeAlias = Literal["sgd", "adam"]
TagFormat: TypeAlias = Literal["BIOES", "BIO"]


@dataclass(frozen=True, kw_only=True)
class TaggerSettings:
    """How a tagger is built and trained; the defaults are Flair's for a BiRNN-CRF.

    Attributes:
        hidden_size: H of the recurrent layer, for each direction.
        layers: Recurrent layers.
        bidirectional: Whether the recurrent layer runs in both directions.
        crf: Conditional random field if true, else a softmax for each token.
        tag_format: `BIOES` or `BIO`: how spans become tags within the tagger.
        reproject: A linear layer of size E x E between features and recurrent layer.
        dropout: Dropout on features and on the recurrent layer's output.
        word_dropout: Share of words whose features are dropped as a whole.
        locked_dropout: Dropout with one mask a sequence, on features and on the recurrent layer's output.
        layer_dropout: Dropout between recurrent layers.
        dropout_x: Variational dropout on the cell's input.
        dropout_h: Variational dropout on the cell's states.
        character_size: Size of a character's vector.
        character_hidden: Size of the character LSTM, for each direction; 0 leaves characters out.
        epochs: Most passes over the training data.
        batch_size: Sentences a step.
        optimizer: `sgd` or `adam`.
        learning_rate: Where the learning rate starts.
        anneal_factor: What the learning rate is multiplied with when the dev F1 has not risen (nor, at the
            same F1, the dev loss fallen) for more than `patience` epochs.
        patience: See `anneal_factor`.
        min_learning_rate: Training ends when the learning rate falls below.
        clip: Largest norm of the gradient.

    Raises:
        CellzooError: A value out of range.
    """

    hidden_size: int = 256
    layers: int = 1
    bidirectional: bool = True
    crf: bool = True
    tag_format: TagFormat = "BIOES"
    reproject: bool = True
    dropout: float = 0.0
    word_dropout: float = 0.05
    locked_dropout: float = 0.5
    layer_dropout: float = 0.5
    dropout_x: float = 0.0
    dropout_h: float = 0.0
    character_size: int = 25
    character_hidden: int = 25
    epochs: int = 25
    batch_size: int = 32
    optimizer: Optimizer = "sgd"
    learning_rate: float = 0.1
    anneal_factor: float = 0.5
    patience: int = 3
    min_learning_rate: float = 1e-4
    clip: float = 5.0

    def __post_init__(self) -> None:
        for name in ("hidden_size", "layers", "character_size", "epochs", "batch_size"):
            self._require(name, "at least 1", getattr(self, name) >= 1)
        for name in ("character_hidden", "patience"):
            self._require(name, "at least 0", getattr(self, name) >= 0)
        for name in ("dropout", "word_dropout", "locked_dropout", "layer_dropout", "dropout_x", "dropout_h"):
            self._require(name, "at least 0 and below 1", 0.0 <= getattr(self, name) < 1.0)
        for name in ("learning_rate", "min_learning_rate", "clip"):
            self._require(name, "above 0", getattr(self, name) > 0.0)
        self._require("anneal_factor", "above 0 and below 1", 0.0 < self.anneal_factor < 1.0)
        self._require("tag_format", "BIOES or BIO", self.tag_format in {"BIOES", "BIO"})
        self._require("optimizer", "sgd or adam", self.optimizer in {"sgd", "adam"})

    def _require(self, name: str, what: str, holds: bool) -> None:
        if not holds:
            raise CellzooError(f"setting {name}: {getattr(self, name)!r} is out of range; it must be {what}")

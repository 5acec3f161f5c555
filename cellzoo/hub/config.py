"""CellConfig: the configuration of models of the type `cellzoo`, which contains the cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import PretrainedConfig

from cellzoo.catalog import NAME, load
from cellzoo.cells.cell import Cell
from cellzoo.errors import CellError

POOLINGS = ("last", "mean", "max")
MAX_LAYERS = 1000
MAX_SIZE = 2**31 - 1
_LARGEST_SPREAD = 1e30


class CellConfig(PretrainedConfig):
    """Configuration of `CellModel` and the models on top of it.

    The cell is stored as its graph in JSON, so a saved model does not depend on the catalog.

    Args:
        cell: A name of the catalog, a Cell, the path of a cell file, or a cell as JSON text. Must be given.
        vocab_size: Tokens, V.
        embedding_size: Width of the token embeddings, E; None for `hidden_size`.
        hidden_size: H.
        num_hidden_layers: Recurrent layers.
        bidirectional: Whether the layers are bidirectional; not for a causal language model.
        bias: Whether the biases that the cell defines are there.
        embedding_dropout: Probability of a dropout on the embeddings.
        dropout: The same between the layers.
        output_dropout: The same on the outputs of the last layer.
        dropout_x: Of the variational dropout on the input of each layer; see `cellzoo.CellRNN`.
        dropout_h: Of the variational dropout on hidden values.
        initializer_range: Embeddings and heads start uniform in plus or minus this.
        pooling: The pooling of a sequence classifier: `last`, the output at the last token (of the backward
            direction, at the first); `mean` or `max` over the tokens.
        use_cache: Whether a causal language model returns its state, for the next call, outside of training.
        head_size: Units of the hidden layer of a text classifier.
        pairs: Whether a text classifier reads pairs of texts.
        cross_attention: Whether it compares each token of a pair with what it attends to in the other text.
        head_dropout: Probability of the dropouts in its head.
        tie_word_embeddings: Whether a causal language model predicts with the embedding matrix; needs
            E = H.
        **kwargs: See transformers.PretrainedConfig.

    Raises:
        UnknownNameError, CellError: There is no such cell, or it is malformed.
        ValueError: A size, probability or choice is out of range.
    """

    model_type = "cellzoo"
    keys_to_ignore_at_inference = ["past_key_values"]  # noqa: RUF012 - declared by the base class
    # A configuration needs a cell, so it cannot be built from defaults.
    has_no_defaults_at_init = True

    def __init__(
        self,
        cell: str | Path | Cell | None = None,
        vocab_size: int = 10_000,
        embedding_size: int | None = None,
        hidden_size: int = 256,
        num_hidden_layers: int = 1,
        bidirectional: bool = False,
        bias: bool = True,
        embedding_dropout: float = 0.0,
        dropout: float = 0.0,
        output_dropout: float = 0.0,
        dropout_x: float = 0.0,
        dropout_h: float = 0.0,
        initializer_range: float = 0.1,
        pooling: str = "last",
        use_cache: bool = True,
        head_size: int = 256,
        pairs: bool = False,
        cross_attention: bool = False,
        head_dropout: float = 0.0,
        tie_word_embeddings: bool = True,
        **kwargs: Any,
    ) -> None:
        if cell is None:
            # transformers tries to build a default configuration, and handles a ValueError.
            raise ValueError("cell is missing; expected a cell's name, or a Cell")
        self.cell = _read(cell).to_json()
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self._embedding_size = embedding_size
        self.num_hidden_layers = num_hidden_layers
        self.bidirectional = bidirectional
        self.bias = bias
        self.embedding_dropout = embedding_dropout
        self.dropout = dropout
        self.output_dropout = output_dropout
        self.dropout_x = dropout_x
        self.dropout_h = dropout_h
        self.initializer_range = initializer_range
        self.pooling = pooling
        self.use_cache = use_cache
        self.head_size = head_size
        self.pairs = pairs
        self.cross_attention = cross_attention
        self.head_dropout = head_dropout
        self._check()
        super().__init__(tie_word_embeddings=tie_word_embeddings, **kwargs)

    @property
    def embedding_size(self) -> int:
        """E; the current `hidden_size` as long as it is not set."""
        return self.hidden_size if self._embedding_size is None else self._embedding_size

    @embedding_size.setter
    def embedding_size(self, size: int | None) -> None:
        self._embedding_size = size

    @property
    def output_size(self) -> int:
        """Width of the outputs of the last layer: H, or 2 H if bidirectional."""
        return self.hidden_size * (2 if self.bidirectional else 1)

    def to_cell(self) -> Cell:
        """The cell."""
        return Cell.from_json(self.cell)

    def to_dict(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        content = super().to_dict()
        content["embedding_size"] = content.pop("_embedding_size")
        return content

    def to_diff_dict(self) -> dict[str, Any]:
        """The content of config.json; it also has defaults that affect what the model computes."""
        return {**super().to_diff_dict(), "tie_word_embeddings": self.tie_word_embeddings}

    def _check(self) -> None:
        for name in ("vocab_size", "embedding_size", "hidden_size", "num_hidden_layers", "head_size"):
            size = getattr(self, name)
            if type(size) is not int or not 1 <= size <= MAX_SIZE:
                raise ValueError(f"{name} is {size!r:.40}; expected a number from 1 to {MAX_SIZE}")
        if self.num_hidden_layers > MAX_LAYERS:
            raise ValueError(f"num_hidden_layers is {self.num_hidden_layers}; expected at most {MAX_LAYERS}")
        for name in ("bidirectional", "bias", "pairs", "cross_attention"):
            choice = getattr(self, name)
            if not isinstance(choice, bool):
                raise ValueError(f"{name} is {choice!r:.40}; expected true or false")
        spread = self.initializer_range
        if not isinstance(spread, int | float) or not 0 <= spread <= _LARGEST_SPREAD:
            raise ValueError(f"initializer_range is {spread!r:.40}; expected a number from 0")
        for name in (
            *("embedding_dropout", "dropout", "output_dropout"),
            *("dropout_x", "dropout_h", "head_dropout"),
        ):
            probability = getattr(self, name)
            if not isinstance(probability, int | float) or not 0 <= probability <= 1:
                raise ValueError(f"{name} is {probability!r:.40}; expected a probability, 0 to 1")
        if self.pooling not in POOLINGS:
            raise ValueError(f"pooling is {self.pooling!r:.40}; expected one of {', '.join(POOLINGS)}")


def _read(cell: str | Path | Cell) -> Cell:
    if isinstance(cell, Cell):
        return cell
    if isinstance(cell, Path):
        return load(cell)
    if isinstance(cell, str) and cell.lstrip().startswith("{"):
        return Cell.from_json(cell)
    # A configuration may be untrusted, so its text must not be used as a path.
    if not isinstance(cell, str) or not NAME.fullmatch(cell) or cell.endswith(".toml"):
        raise CellError(
            f"cell is {cell!r:.80}; expected a name of the catalog, a Cell, a pathlib.Path, or a cell as JSON"
        )
    return load(cell)

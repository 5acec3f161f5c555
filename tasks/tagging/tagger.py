"""CellTagger: Flair's `SequenceTagger` with any recurrent cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import torch
from flair.data import Sentence
from flair.embeddings.base import load_embeddings
from flair.models import SequenceTagger
from torch.nn.utils.rnn import pack_padded_sequence

import tasks.embeddings.frozen
import tasks.tagging.embeddings  # noqa: F401 - both register embeddings that saved taggers may hold
from cellzoo import load
from cellzoo.cells.cell import Cell
from cellzoo.errors import CellzooError, unknown
from cellzoo.layer import CellRNN
from tasks.embeddings.batch import parts, token_features
from tasks.embeddings.padding import pad, pad_packed
from tasks.tagging.crf_layers import EmissionCRF, EmissionDecoder, EmissionLoss
from tasks.tagging.saved_state import TaggerState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flair.data import Dictionary
    from flair.embeddings import TokenEmbeddings

PREFIX = "cell:"
_TORCH_LAYERS = {"LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU, "RNN": torch.nn.RNN}


class CellTagger(SequenceTagger):
    """A `flair.models.SequenceTagger` whose recurrent layer is any cell.

    What it adds to Flair 0.15.1's own class:

    - `rnn_type` names a cell, a cell file, or is a `Cell`; the cell itself is saved with the model, so a
      saved model means the same whatever the zoo holds later.
    - The direction and all dropouts are saved, so one-directional taggers can be loaded again.
    - `predict` switches dropout off while it predicts.
    - The features of a batch are computed at once (`tasks.embeddings.batch`).
    - Frozen embeddings stay in evaluation mode while the rest trains.
    - The loss of the CRF is computed for the whole batch at once (`tasks.tagging.crf`).
    - The order of stacked embeddings is saved, which Flair loses for some classes (`OneHotEmbeddings`).
    - Embeddings that are trained are never left in sentences by `predict`, so that scores on the
      development data are fresh whatever `embeddings_storage_mode` is.

    Args:
        embeddings: Features of the tokens, of size E.
        tag_dictionary: The labels; with `span_labels` the spans' types.
        tag_type: Name of the label layer, such as `ner`.
        rnn_type: `cell:<name>` for a cell of the zoo, `cell:<path>.toml` for a cell file, a `Cell`, or
            `LSTM`, `GRU`, `RNN` for torch's own layers.
        hidden_size: H, for each direction.
        rnn_layers: Layers.
        bidirectional: Whether to run in both directions.
        rnn_dropout: Dropout between layers; nothing happens with one layer.
        dropout_x: Variational dropout on the cell's input, one mask a sequence (cells only).
        dropout_h: Variational dropout on the cell's states, one mask a sequence (cells only).
        **settings: The other arguments of `SequenceTagger` (`use_crf`, `tag_format`, `locked_dropout`, ...).

    Raises:
        CellzooError: An unknown cell, a file that is no cell, or an argument that Flair accepts and then
            ignores (`train_initial_hidden_state`) or cannot save (`rnn`).
    """

    def __init__(
        self,
        embeddings: TokenEmbeddings,
        tag_dictionary: Dictionary,
        tag_type: str,
        *,
        rnn_type: str | Cell = "cell:lstm",
        hidden_size: int = 256,
        rnn_layers: int = 1,
        bidirectional: bool = True,
        rnn_dropout: float = 0.5,
        dropout_x: float = 0.0,
        dropout_h: float = 0.0,
        use_rnn: bool = True,
        **settings: Any,
    ) -> None:
        if settings.pop("train_initial_hidden_state", False):
            raise CellzooError(
                "train_initial_hidden_state=True has no effect in Flair 0.15.1; leave it out "
                "(sequences start from zeros)"
            )
        if settings.pop("rnn", None) is not None:
            raise CellzooError("rnn= cannot be saved with a tagger; pass rnn_type='cell:<name>' or a Cell")
        layer = None
        if use_rnn:
            layer = _layer(
                rnn_type,
                embeddings.embedding_length,
                hidden_size,
                rnn_layers,
                bidirectional,
                rnn_dropout,
                dropout_x,
                dropout_h,
            )
        super().__init__(
            embeddings,
            tag_dictionary,
            tag_type,
            use_rnn=use_rnn,
            rnn=layer,
            hidden_size=hidden_size,
            rnn_layers=rnn_layers,
            bidirectional=bidirectional,
            **settings,
        )
        if self.use_crf:
            self.crf = EmissionCRF(self.crf)
            self.loss_function = EmissionLoss(self.label_dictionary)
            self.viterbi_decoder = EmissionDecoder(self.label_dictionary)
        self.cell = layer.cell if isinstance(layer, CellRNN) else None
        self.rnn_type = PREFIX + _name(self.cell) if self.cell else str(rnn_type)
        self.rnn_dropout = rnn_dropout
        self.dropout_x = dropout_x
        self.dropout_h = dropout_h

    def train(self, mode: bool = True) -> Self:
        """Switch training mode on or off; embeddings that are not trained stay in evaluation mode."""
        super().train(mode)
        for part in self._features(trained=False):
            part.eval()
        return self

    def predict(self, sentences: list[Sentence] | Sentence, *args: Any, **settings: Any) -> Any:
        """Predict as `SequenceTagger.predict`, without dropout, whatever mode the tagger is in."""
        training = [module for module in self.modules() if module.training]
        self.eval()
        try:
            return super().predict(sentences, *args, **settings)
        finally:
            for module in training:
                module.training = True
            stale = [name for part in self._features(trained=True) for name in part.get_names()]
            for sentence in [sentences] if isinstance(sentences, Sentence) else sentences:
                sentence.clear_embeddings(stale)

    def forward(self, sentence_tensor: torch.Tensor, lengths: torch.Tensor) -> Any:
        """Compute the scores of tags, as `SequenceTagger.forward` does, with faster padding.

        Args:
            sentence_tensor: Features of padded sentences, (B, T, E).
            lengths: (B,), on the CPU, from long to short.

        Returns:
            With a CRF the emissions (B, T, K), `lengths`, and the transitions (K, K); otherwise the scores
            of all tokens, sentence after sentence, (N, K).
        """
        features = self._drop(sentence_tensor, "dropout", "word_dropout", "locked_dropout")
        if self.reproject_embeddings:
            features = self.embedding2nn(features)
        if self.use_rnn:
            outputs, _ = self.rnn(pack_padded_sequence(features, lengths, batch_first=True))
            features = pad_packed(outputs, lengths)  # (B, T, directions * H)
        features = self.linear(self._drop(features, "dropout", "locked_dropout"))  # (B, T, K)
        if self.use_crf:
            return self.crf(features), lengths, self.crf.transitions
        return self._get_scores_from_features(features, lengths)

    def _drop(self, features: torch.Tensor, *names: str) -> torch.Tensor:
        for name in names:
            if getattr(self, f"use_{name}"):
                features = getattr(self, name)(features)
        return features

    def _prepare_tensors(self, data_points: list[Sentence] | Sentence) -> tuple[torch.Tensor, torch.LongTensor]:
        sentences = [data_points] if isinstance(data_points, Sentence) else data_points
        lengths = torch.LongTensor([len(sentence.tokens) for sentence in sentences])  # (B,)
        return pad(token_features(self.embeddings, sentences), lengths), lengths

    def _features(self, *, trained: bool) -> Iterator[TokenEmbeddings]:
        """Walk the embeddings whose values change, or do not change, by training."""
        for part in parts(self.embeddings):
            changes = not part.static_embeddings and any(weight.requires_grad for weight in part.parameters())
            if changes == trained:
                yield part

    def _get_state_dict(self) -> TaggerState:
        return TaggerState(
            super()._get_state_dict(),
            cell=self.cell.to_json() if self.cell else None,
            bidirectional=self.bidirectional,
            rnn_dropout=self.rnn_dropout,
            dropout_x=self.dropout_x,
            dropout_h=self.dropout_h,
            feature_names=[part.name for part in parts(self.embeddings)],
        )

    @classmethod
    def _init_model_with_state_dict(cls, state: dict[str, Any], **settings: Any) -> CellTagger:
        embeddings: Any = load_embeddings(state["embeddings"])
        # Flair joins the features of a token in the order of their names, and not every class saves its name.
        for part, name in zip(parts(embeddings), state["feature_names"], strict=True):
            part.name = name
        state = {**state, "embeddings": embeddings}
        if state["cell"] is not None:
            state["rnn_type"] = Cell.from_json(state["cell"])
        names = ("bidirectional", "rnn_dropout", "dropout_x", "dropout_h")
        return super()._init_model_with_state_dict(state, **{name: state[name] for name in names}, **settings)


def _layer(
    rnn_type: str | Cell,
    input_size: int,
    hidden_size: int,
    layers: int,
    bidirectional: bool,
    dropout: float,
    dropout_x: float,
    dropout_h: float,
) -> Any:
    common: dict[str, Any] = {
        "num_layers": layers,
        "dropout": dropout if layers > 1 else 0.0,
        "bidirectional": bidirectional,
        "batch_first": True,
    }
    if isinstance(rnn_type, str) and rnn_type in _TORCH_LAYERS:
        if dropout_x or dropout_h:
            raise CellzooError(
                f"dropout_x and dropout_h need a cell; torch's {rnn_type} has none of them: "
                f"use rnn_type='cell:{rnn_type.lower()}'"
            )
        return _TORCH_LAYERS[rnn_type](input_size, hidden_size, **common)
    if isinstance(rnn_type, str):
        if not rnn_type.startswith(PREFIX):
            raise unknown("rnn_type", rnn_type, _TORCH_LAYERS, "Or 'cell:<name>', such as 'cell:darts-v2'.")
        rnn_type = load(rnn_type.removeprefix(PREFIX))
    return CellRNN(rnn_type, input_size, hidden_size, dropout_x=dropout_x, dropout_h=dropout_h, **common)


def _name(cell: Cell) -> str:
    return cell.name or cell.hash[:12]

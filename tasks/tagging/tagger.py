"""CellTagger: Flair's `SequenceTagger` with any recurrent cell."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

import torch
from flair.data import Sentence
from flair.embeddings.base import load_embeddings
from flair.models import SequenceTagger
from flair.training_utils import store_embeddings
from torch.nn.utils.rnn import pack_padded_sequence

import tasks.embeddings.frozen
import tasks.tagging.embeddings
import tasks.tagging.flair_language_model  # noqa: F401 - these register what saved models may hold
from cellzoo.errors import CellzooError
from cellzoo.layer import CellRNN
from tasks.embeddings.batch import is_computed_here, parts, token_features
from tasks.embeddings.padding import pad, pad_packed
from tasks.tagging import safe_file
from tasks.tagging.crf_layers import EmissionCRF, EmissionDecoder, EmissionLoss
from tasks.tagging.layers import InitialStates, describe, make_layer, rebuild, type_of
from tasks.tagging.saved_state import TaggerState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flair.data import Dictionary
    from flair.embeddings import TokenEmbeddings
    from torch import nn

    from cellzoo.cells.cell import Cell

    StorageMode: TypeAlias = Literal["none", "cpu", "gpu"]


class CellTagger(SequenceTagger):
    """A `flair.models.SequenceTagger` whose recurrent layer is any cell.

    Differences from the class of Flair 0.15.1:

    - `rnn_type` is the name of a cell, a cell file, or a `Cell`. The cell is saved with the model, so later
      changes of the zoo do not affect saved models.
    - `rnn` takes a layer with its weights; the tagger can be saved around a `CellRNN` or one of torch's layers.
    - The direction and all dropouts are saved, so unidirectional taggers can be loaded.
    - `train_initial_hidden_state` has an effect.
    - `predict` disables dropout.
    - The features of a batch are computed at once (`tasks.embeddings.batch`).
    - Frozen embeddings stay in evaluation mode while the rest is trained.
    - The loss of the CRF is computed for the whole batch at once (`tasks.tagging.crf`).
    - The order of stacked embeddings is saved, which Flair loses for some classes (`OneHotEmbeddings`).
    - Features of trainable embeddings are recomputed in each call even if sentences hold stored ones, so that
      scores on the development data are never stale, whatever `embeddings_storage_mode` is.
    - `save_safely` and `load_safely` keep the tagger in a file that cannot run code. What Flair's `save` writes
      is a pickle: `load` and `flair.nn.Classifier.load` run whatever the author of the file put into it.

    Args:
        embeddings: Features of the tokens, of size E.
        tag_dictionary: The labels; with `span_labels` the spans' types.
        tag_type: Name of the label layer, such as `ner`.
        rnn: A layer with input size E, called as `rnn(packed, hx)`; the arguments from `rnn_type` to
            `dropout_h` are then ignored. Only taggers around a `CellRNN` or one of torch's layers can be
            saved, not those around a supernet.
        rnn_type: `cell:<name>` for a cell of the zoo, `cell:<path>.toml` for a cell file, a `Cell`, or
            `LSTM`, `GRU`, `RNN` for torch's own layers.
        hidden_size: H, for each direction.
        rnn_layers: Layers.
        bidirectional: Whether to run in both directions.
        rnn_dropout: Dropout between layers; no effect with one layer.
        dropout_x: Variational dropout on the cell's input, one mask per sequence (cells only).
        dropout_h: Variational dropout on the cell's states, one mask per sequence (cells only).
        use_rnn: Whether there is a recurrent layer at all.
        train_initial_hidden_state: Whether the initial states of sequences are trained, starting from zeros;
            otherwise they stay zeros.
        **settings: The other arguments of `SequenceTagger` (`use_crf`, `tag_format`, `locked_dropout`, ...).

    Raises:
        CellzooError: The cell is unknown, the file is not a cell file, or the layer has another input size.
    """

    def __init__(
        self,
        embeddings: TokenEmbeddings,
        tag_dictionary: Dictionary,
        tag_type: str,
        *,
        rnn: nn.Module | None = None,
        rnn_type: str | Cell = "cell:lstm",
        hidden_size: int = 256,
        rnn_layers: int = 1,
        bidirectional: bool = True,
        rnn_dropout: float = 0.5,
        dropout_x: float = 0.0,
        dropout_h: float = 0.0,
        use_rnn: bool = True,
        train_initial_hidden_state: bool = False,
        **settings: Any,
    ) -> None:
        layer: Any = rnn
        if not use_rnn:
            layer = None
        elif layer is None:
            layer = make_layer(
                rnn_type,
                input_size=embeddings.embedding_length,
                hidden_size=hidden_size,
                num_layers=rnn_layers,
                dropout=rnn_dropout if rnn_layers > 1 else 0.0,
                bidirectional=bidirectional,
                batch_first=True,
                dropout_x=dropout_x,
                dropout_h=dropout_h,
            )
        elif layer.input_size != embeddings.embedding_length:
            raise CellzooError(
                f"rnn reads {layer.input_size} values a token; "
                f"the embeddings give {embeddings.embedding_length}"
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
        self.rnn_type = str(rnn_type) if layer is None else type_of(layer)
        self.train_initial_hidden_state = train_initial_hidden_state and use_rnn
        if self.train_initial_hidden_state:
            self.initial_states = InitialStates(layer).to(self.linear.weight.device)

    def train(self, mode: bool = True) -> Self:
        """Set the training mode; embeddings that are not trained stay in evaluation mode."""
        super().train(mode)
        for part in self._features(trained=False):
            part.eval()
        return self

    def predict(self, sentences: list[Sentence] | Sentence, *args: Any, **settings: Any) -> Any:
        """Predict as `SequenceTagger.predict`, always in evaluation mode; the previous mode is restored.

        With an `embedding_storage_mode` other than `none` the features are stored in the sentences.
        """
        asked = inspect.signature(SequenceTagger.predict).bind(self, sentences, *args, **settings)
        asked.apply_defaults()
        training = [module for module in self.modules() if module.training]
        self.eval()
        try:
            result = super().predict(sentences, *args, **settings)
            if asked.arguments["embedding_storage_mode"] != "none":
                given = [sentences] if isinstance(sentences, Sentence) else list(sentences)
                self._keep_features(
                    given, asked.arguments["mini_batch_size"], asked.arguments["embedding_storage_mode"]
                )
            return result
        finally:
            for module in training:
                module.training = True

    @torch.no_grad()
    def _keep_features(self, sentences: Sequence[Sentence], batch_size: int, mode: StorageMode) -> None:
        """Store in the sentences the features that `token_features` does not store there."""
        filled = [sentence for sentence in sentences if len(sentence.tokens)]
        for start in range(0, len(filled), batch_size):
            batch = filled[start : start + batch_size]
            for part in parts(self.embeddings):
                if is_computed_here(part):
                    for sentence in batch:
                        sentence.clear_embeddings(part.get_names())
                    part.embed(batch)
            store_embeddings(batch, mode)

    def forward(self, sentence_tensor: torch.Tensor, lengths: torch.Tensor) -> Any:
        """Compute the scores of tags, as `SequenceTagger.forward` does, with faster padding.

        Args:
            sentence_tensor: Features of padded sentences, (B, T, E).
            lengths: (B,), on the CPU, in descending order.

        Returns:
            With a CRF the emissions (B, T, K), `lengths`, and the transitions (K, K); otherwise the scores
            of all tokens, sentence after sentence, (N, K).
        """
        features = self._drop(sentence_tensor, "dropout", "word_dropout", "locked_dropout")
        if self.reproject_embeddings:
            features = self.embedding2nn(features)
        if self.use_rnn:
            start = self.initial_states(len(lengths)) if self.train_initial_hidden_state else None
            outputs, _ = self.rnn(pack_padded_sequence(features, lengths, batch_first=True), start)
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
        for part in self._features(trained=True):
            if not is_computed_here(part):
                # Flair would reuse features that were computed with earlier weights.
                for sentence in sentences:
                    sentence.clear_embeddings(part.get_names())
        lengths = torch.LongTensor([len(sentence.tokens) for sentence in sentences])  # (B,)
        return pad(token_features(self.embeddings, sentences), lengths), lengths

    def _features(self, *, trained: bool) -> Iterator[TokenEmbeddings]:
        """Iterate over the embeddings that are trained, or over those that are not."""
        for part in parts(self.embeddings):
            changes = not part.static_embeddings and any(weight.requires_grad for weight in part.parameters())
            if changes == trained:
                yield part

    def save_safely(self, path: Path | str) -> None:
        """Save the tagger as one safetensors file with JSON metadata; loading it cannot execute code.

        Args:
            path: The file, usually with the suffix `.safetensors`.

        Raises:
            CellzooError: Its embeddings cannot be saved in this format (see `tasks.tagging.safe_file`).
            OutputError: The file cannot be written.
        """
        safe_file.write(Path(path), self)

    @classmethod
    def load_safely(cls, path: Path | str) -> CellTagger:
        """Load a file of `save_safely`; the tagger is in evaluation mode, on Flair's device.

        Raises:
            DataError: The file is damaged, or was not written by `save_safely`.
        """
        return safe_file.read(Path(path), cls)

    def _get_state_dict(self) -> TaggerState:
        return TaggerState(
            super()._get_state_dict(),
            layer=describe(self.rnn) if self.use_rnn else None,
            feature_names=[part.name for part in parts(self.embeddings)],
        )

    @classmethod
    def _init_model_with_state_dict(cls, state: dict[str, Any], **settings: Any) -> CellTagger:
        state = {**state}
        if isinstance(state["embeddings"], dict):
            embeddings: Any = load_embeddings(state["embeddings"])
            # Flair concatenates features in the order of their names; not every class saves its name.
            for part, name in zip(parts(embeddings), state["feature_names"], strict=True):
                part.name = name
            state["embeddings"] = embeddings
        layer = None if state["layer"] is None else rebuild(state["layer"])
        return super()._init_model_with_state_dict(state, rnn=layer, **settings)

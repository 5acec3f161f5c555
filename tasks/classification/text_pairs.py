"""Flair's classifier of text pairs, with features computed for a whole batch at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from flair.data import Sentence
from flair.models import TextPairClassifier

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flair.data import TextPair


class BatchPairClassifier(TextPairClassifier):
    """A `flair.models.TextPairClassifier` that embeds all texts of a batch together.

    The class of Flair 0.15.1 embeds one pair after the other, so that a recurrent layer runs with batches of
    one or two texts. Also, features of trainable embeddings are never kept in sentences, so that scores are
    never stale, whatever `embeddings_storage_mode` is. Saved models have Flair's class name.
    """

    def _encode_data_points(self, sentences: list[TextPair], data_points: list[TextPair]) -> torch.Tensor:
        texts = {id(text): text for pair in data_points for text in self._texts(pair)}
        self.embeddings.embed(list(texts.values()))
        encoded = super()._encode_data_points(sentences, data_points)  # (B, embedding size)
        if not self.embeddings.static_embeddings:
            for text in texts.values():
                text.clear_embeddings()
        return encoded

    def _get_embedding_for_data_point(self, prediction_data_point: TextPair) -> torch.Tensor:
        names = self.embeddings.get_names()
        return torch.cat([text.get_embedding(names) for text in self._texts(prediction_data_point)])

    def _texts(self, pair: TextPair) -> Sequence[Sentence]:
        """List the texts to embed for a pair: both, or their concatenation."""
        if self.embed_separately:
            return pair.first, pair.second
        if pair.concatenated_data is None:
            joined = self.sep.join([pair.first.to_tokenized_string(), pair.second.to_tokenized_string()])
            pair.concatenated_data = Sentence(joined, use_tokenizer=False)
        return (pair.concatenated_data,)

    def _get_state_dict(self) -> dict[str, Any]:
        return {**super()._get_state_dict(), "__cls__": TextPairClassifier.__name__}

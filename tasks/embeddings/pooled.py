"""Pooled contextual features (Akbik et al. 2019, Pooled contextualized embeddings for NER).

In the paper the memory of each word grows during training and prediction, so that features depend on all
earlier sentences. Here it is filled once from the training sentences and then fixed, so that features depend on
nothing but the sentence, and are the same for every cell and seed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import flair
import torch

from tasks.embeddings.batch import BatchEmbeddings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flair.data import Sentence
    from torch import Tensor

_AT_ONCE = 256
"""Sentences per batch when the memory is filled."""


class PooledFeatures(BatchEmbeddings):
    """A token's features, and their minimum over all occurrences of its word in the training data.

    For a word that is not in the training data, its own features are repeated.

    Args:
        inner: The features to pool; they are not trained.
        sentences: The training sentences.
    """

    def __init__(self, inner: BatchEmbeddings, sentences: Sequence[Sentence]) -> None:
        super().__init__()
        self.name = f"{inner.name}-pooled"
        self.static_embeddings = True
        self.inner = inner
        texts = (token.text for sentence in sentences for token in sentence.tokens)
        self._rows = {word: row for row, word in enumerate(dict.fromkeys(texts))}
        memory = torch.full((len(self._rows) + 1, inner.embedding_length), torch.inf)  # (V + 1, E)
        for start in range(0, len(sentences), _AT_ONCE):
            batch = sentences[start : start + _AT_ONCE]
            own = inner.token_features(batch).cpu()  # (N, E)
            rows = self._rows_of(batch).unsqueeze(1).expand_as(own)
            memory.scatter_reduce_(0, rows, own, "amin")
        self._memory = memory.to(flair.device)
        self.eval()

    @property
    def embedding_length(self) -> int:
        """Twice the size of the pooled features."""
        return 2 * self.inner.embedding_length

    def token_features(self, sentences: Sequence[Sentence]) -> Tensor:
        """Compute the features of all tokens, (N, 2 E)."""
        own = self.inner.token_features(sentences)  # (N, E)
        pooled = self._memory[self._rows_of(sentences).to(own.device)]  # (N, E)
        return torch.cat([own, torch.where(pooled.isinf(), own, pooled)], dim=1)

    def _rows_of(self, sentences: Sequence[Sentence]) -> Tensor:
        unknown = len(self._rows)
        return torch.tensor(
            [self._rows.get(token.text, unknown) for sentence in sentences for token in sentence.tokens]
        )

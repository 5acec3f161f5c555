"""Contextual features with a memory of each word (Akbik et al. 2019, Pooled contextualized embeddings for NER).

There the memory grows while the model trains and predicts, so that features depend on all sentences before.
Here it is filled once, from the training sentences, and then stays as it is: features depend on the sentence
alone, the same for every cell and seed.
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
"""Sentences that the memory is filled from at once."""


class PooledFeatures(BatchEmbeddings):
    """A token's own features, and beside them the smallest value of each over all occurrences of its word.

    A word that is not in the memory has its own features twice.

    Args:
        inner: The features that are pooled; they are not trained.
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
        """Twice that of the features inside."""
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

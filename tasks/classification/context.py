"""Frozen features of words from pretrained models, computed once and looked up for each batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from flair.data import Sentence
from torch.nn.utils.rnn import pad_sequence

from cellzoo.errors import DataError
from tasks.tagging.flair_device import flair_on, quiet_flair
from tasks.tagging.pretrained import frozen_features, pretrained_model

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from torch import Tensor

    from tasks.classification.texts import Corpus, Tokenized
    from tasks.data.found import FoundData
    from tasks.embeddings.features import Feature

Words = tuple[str, ...]


class Context:
    """Frozen contextual features of the texts of a corpus.

    Args:
        corpus: The texts.
        models: Declared features and the files of their models.
        device: Device on which features are computed and returned.
        cache: Folder that stores computed features, see `tasks.embeddings.frozen.freeze`.

    Raises:
        DataError: A model cannot be loaded, or Flair would change a word.
    """

    def __init__(
        self,
        corpus: Corpus,
        models: Sequence[tuple[Feature, FoundData]],
        device: torch.device,
        cache: Path | None,
    ) -> None:
        self._device = device
        training = _sentences(corpus.splits["train"])
        self._sentences = training | _sentences(
            item for split, items in corpus.splits.items() if split != "train" for item in items
        )
        with flair_on(device), quiet_flair():
            parts = [(feature, pretrained_model(feature, found)) for feature, found in models]
            self._parts = frozen_features(parts, list(self._sentences.values()), list(training.values()), cache)

    @property
    def size(self) -> int:
        """E', the size of all features of a word together."""
        return sum(part.embedding_length for part in self._parts)

    def read(self, texts: Sequence[Words]) -> Tensor:
        """Return the features of some texts, (T, B, E'), padded with 0."""
        sentences = [self._sentences.get(text) or _sentence(text) for text in texts]
        with flair_on(self._device):
            features = torch.cat([part.token_features(sentences) for part in self._parts], dim=1)  # (N, E')
        return pad_sequence(list(features.split([len(text) for text in texts])))


def _sentences(items: Iterable[Tokenized]) -> dict[Words, Sentence]:
    texts = dict.fromkeys(text for item in items for text in (item.first, item.second) if text)
    return {text: _sentence(text) for text in texts}


def _sentence(text: Words) -> Sentence:
    sentence = Sentence(list(text))
    if tuple(token.text for token in sentence.tokens) != text:
        raise DataError(f"Flair changes the words of {' '.join(text)!r:.80}")
    return sentence
